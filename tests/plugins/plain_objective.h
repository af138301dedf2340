// A component that does nothing, for plugins whose library is what matters.
#pragma once

#include <cstdint>

#include <moiety/objective.h>
#include <moiety/plugin.h>

namespace {

class PlainObjective : public moiety::Objective {
 public:
  struct Options {
    int64_t k = 2;
    float scale = 0.5f;
    std::string mode = "soft";
    static void describe(moiety::Schema<Options>& s) {
      s.field("k", &Options::k, "a number of things").range(1, 8);
      s.field("scale", &Options::scale, "a factor").range(0, 1);
      s.field("mode", &Options::mode, "how hard").one_of({"soft", "hard"});
    }
  };
  PlainObjective(const Options& options, const moiety::ModelDims&) : k(options.k) {}
  void evaluate(moiety::Exec&, const moiety::ObjectiveInputs&, moiety::TensorView,
                moiety::TensorView, moiety::TensorView) const override {
    throw moiety::Error("there is no loss");
  }
  int64_t k;
};

}  // namespace
