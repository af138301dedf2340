// Declares options that it would refuse itself.
#include "plain_objective.h"

namespace {

struct Careless : PlainObjective {
  struct Options {
    int64_t k = 99;
    std::string mode = "sfot";
    bool flag = false, again = false;
    static void describe(moiety::Schema<Options>& s) {
      s.field("k", &Options::k, "a number of things").range(1, 8);
      s.field("mode", &Options::mode, "how hard").one_of({"soft", "hard"});
      s.field("flag", &Options::flag, "");
      s.field("flag", &Options::again, "the same again");
    }
  };
  Careless(const Options&, const moiety::ModelDims& dims) : PlainObjective({}, dims) {}
};

}  // namespace

MOIETY_PLUGIN("bad_default", "1.0.0") { plugin.add<Careless>("bad_default", "Does nothing"); }
