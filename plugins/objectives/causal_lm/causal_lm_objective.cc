// Next-token prediction: mean softmax cross-entropy over the rows with a target.
#include <moiety/objective.h>
#include <moiety/ops.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

class CausalLm final : public Objective {
 public:
  struct Options {
    static void describe(Schema<Options>&) {}
  };
  CausalLm(const Options&, const ModelDims&) {}

  void evaluate(Exec& exec, const ObjectiveInputs& in, TensorView row_loss, TensorView grad,
                TensorView) const override {
    ops::cross_entropy(exec, in, row_loss, grad);
  }
};

}  // namespace

MOIETY_PLUGIN("causal_lm", "1.0.0") {
  plugin.add<CausalLm>("causal_lm", "cross-entropy of the next token");
}
