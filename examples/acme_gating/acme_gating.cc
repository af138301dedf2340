// Gate `acme`: every token goes to its most likely expert (Switch; Fedus et al., 2021).
#include <moiety/capacity.h>
#include <moiety/ops.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

class AcmeGating final : public GatingPolicy {
 public:
  struct Options {
    float capacity_factor = 1.25f;
    static void describe(Schema<Options>& s) {
      s.field("capacity_factor", &Options::capacity_factor,
              "slots of an expert over its even share of the tokens; 0 = no limit")
          .range(0, 64);
    }
  };
  AcmeGating(const Options& options, const ModelDims&) : options_(options) {}

  PlanShape plan_shape(int64_t T, int64_t E, bool) const override {
    return {.capacity = capacity(T, E, options_.capacity_factor, 0),
            .aux_losses = 1,
            .writes_position = true};
  }

  void forward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
               Saved& saved) const override {
    const TensorView probs = saved.keep("probs", DType::kF32, {in.logits.dim(0), in.logits.dim(1)});
    ops::softmax_rows(exec, in.logits, probs);
    ops::topk_rows(exec, probs, in.token_mask, plan.index, plan.weight);
    ops::assign_positions(exec, ops::SlotOrder::kToken, in.logits.dim(1), plan.capacity, plan.index,
                          plan.position);
    ops::balance_loss(exec, probs, plan.index, plan.aux_loss);
  }

  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved& saved, const RoutingGrad& grad, const GatingGrad& out) const override {
    const TensorView dprobs = exec.scratch(DType::kF32, {in.logits.dim(0), in.logits.dim(1)});
    ops::topk_rows_backward(exec, plan.index, grad.weight, dprobs);
    ops::balance_loss_backward(exec, plan.index, grad.aux_loss, dprobs);
    ops::softmax_rows_backward(exec, saved["probs"], dprobs, out.logits);
  }

 private:
  Options options_;
};

}  // namespace

MOIETY_PLUGIN("acme", "0.1.0") {
  plugin.add<AcmeGating>("acme", "Every token to its most likely expert, with capacity");
}
