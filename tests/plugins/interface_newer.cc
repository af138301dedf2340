// Same ABI, but compiled against a header whose interface has another number.
#include "plain_objective.h"

namespace {

struct Newer : PlainObjective {
  static constexpr uint32_t kInterface = 99;
  using PlainObjective::PlainObjective;
};

}  // namespace

MOIETY_PLUGIN("interface_newer", "1.0.0") { plugin.add<Newer>("interface_newer", "Does nothing"); }
