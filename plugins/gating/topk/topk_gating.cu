// Top-k routing as DeepSpeed has it (moe/sharded_moe.py, topkgating): a full expert keeps the most
// likely tokens, and what is kept of a token's choices shares the weight. With k 2 and without
// dropping it is Mixtral's router.
#include <moiety/ops.h>
#include <moiety/plugin.h>
#include <moiety/softmax_gate.h>
#include <moiety/kept_share.cuh>

namespace {

using namespace moiety;

class TopK final : public GatingPolicy {
 public:
  struct Options : DeepSpeedGateOptions {
    int64_t k = 2;
    static void describe(Schema<Options>& s) {
      s.field("k", &Options::k, "experts a token is sent to").range(1, 64);
      describe_seating(s);
      describe_noise(s, "noise in training: Jitter scales the router's input by up to 1 %",
                     {"None", "Jitter"});
    }
  };
  TopK(const Options& options, const ModelDims&) : options_(options) {}

  const void* facet(std::string_view name) const override {
    return deepspeed_facet(options_, name);
  }

  PlanShape plan_shape(int64_t T, int64_t E, bool training) const override {
    check_choices(options_.k, E);
    return {.slots = options_.k,
            .capacity = options_.places(T, E, options_.k, training),
            .aux_losses = 1,
            .writes_position = true,
            .writes_scores = true};
  }

  void forward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
               Saved& saved) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const TensorView chosen = exec.scratch(DType::kF32, {T, options_.k});
    ops::softmax_rows(exec, in.logits, plan.scores);
    ops::topk_rows(exec, plan.scores, in.token_mask, plan.index, chosen);

    deepspeed_loss(exec, plan, plan.index, saved);
    options_.seat(exec, E, chosen, plan);
    kept_share(exec, plan.scores, plan.index, plan.weight);
  }

  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved& saved, const RoutingGrad& grad, const GatingGrad& out) const override {
    const TensorView dkept = exec.scratch(DType::kF32, {in.logits.dim(0), options_.k});
    kept_share_backward(exec, plan.scores, plan.index, grad.weight, dkept);
    deepspeed_backward(exec, plan, saved, grad, dkept, options_.k, out);
  }

 private:
  Options options_;
};

}  // namespace

MOIETY_PLUGIN("topk", "1.0.0") {
  plugin.add<TopK>("topk", "the k most likely experts of each token, with capacity");
}
