// Built against a later header of the same ABI, whose descriptor has grown. It must load.
#include "plain_objective.h"

namespace {

struct Longer : moiety::ComponentDescriptor {
  uint64_t of_the_future[8] = {1, 2, 3, 4, 5, 6, 7, 8};
};

void grow(void* core, const moiety::ComponentDescriptor* descriptor) {
  Longer longer;
  static_cast<moiety::ComponentDescriptor&>(longer) = *descriptor;
  longer.struct_size = sizeof longer;
  static_cast<moiety::PluginBuilder*>(core)->add(longer);
}

}  // namespace

MOIETY_PLUGIN("longer_descriptor", "1.0.0") {
  moiety::PluginBuilder(grow, &plugin).add<PlainObjective>("longer_descriptor", "Does nothing");
}
