// Its constructor throws.
#include "plain_objective.h"

namespace {

struct Thrower : PlainObjective {
  Thrower(const Options& options, const moiety::ModelDims& dims) : PlainObjective(options, dims) {
    throw moiety::Error("the table of constants is missing");
  }
};

}  // namespace

MOIETY_PLUGIN("throws_in_create", "1.0.0") {
  plugin.add<Thrower>("throws_in_create", "Cannot be made");
}
