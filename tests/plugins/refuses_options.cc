// Its constructor finds that the user's options do not go together.
#include "plain_objective.h"

namespace {

struct Refuser : PlainObjective {
  Refuser(const Options& options, const moiety::ModelDims& dims) : PlainObjective(options, dims) {
    throw moiety::ConfigError("k is " + std::to_string(k) + ", expected an odd number");
  }
};

}  // namespace

MOIETY_PLUGIN("refuses_options", "1.0.0") {
  plugin.add<Refuser>("refuses_options", "Cannot be made with its defaults");
}
