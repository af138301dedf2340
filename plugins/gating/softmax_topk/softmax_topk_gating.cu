// The k most likely experts of each token by softmax over all experts, weighted by their share of
// the chosen probability (Mixtral, Qwen3-MoE with norm_topk_prob) or by the probability itself
// (OLMoE). Dropless unless drop_tokens is set.
#include <moiety/gate_options.h>
#include <moiety/plugin.h>
#include <moiety/softmax_gate.h>
#include <moiety/chosen_share.cuh>
#include <moiety/correction_bias.cuh>

namespace {

using namespace moiety;

class SoftmaxTopK final : public GatingPolicy {
 public:
  struct Options : SeatingOptions {
    Options() { drop_tokens = false; }
    int64_t k = 2;
    bool norm_topk_prob = true;
    double bias_update_speed = 0;
    static void describe(Schema<Options>& s) {
      s.field("k", &Options::k, "experts a token is sent to").range(1, 64);
      s.field("norm_topk_prob", &Options::norm_topk_prob,
              "the weights of a token's choices sum to 1 (Mixtral); false: they are its "
              "probabilities (OLMoE)");
      s.field("bias_update_speed", &Options::bias_update_speed,
              "how far a bias on the selection moves against an expert's load after each step, "
              "balancing without a loss; 0: no bias")
          .range(0, 1);
      describe_seating(s);
    }
  };
  SoftmaxTopK(const Options& options, const ModelDims& dims)
      : options_(options), experts_(dims.experts) {}

  void declare(Declarations& to) const override {
    if (steers()) to.buffer(kCorrectionBias, DType::kF32, {experts_});
  }

  const void* facet(std::string_view name) const override {
    return steers() ? balances_itself(name) : nullptr;
  }

  PlanShape plan_shape(int64_t T, int64_t E, bool training) const override {
    check_choices(options_.k, E);
    return {.slots = options_.k,
            .capacity = options_.places(T, E, options_.k, training),
            .writes_position = true,
            .writes_scores = true};
  }

  void forward(Exec& exec, const GatingInputs& in, const Params& params, const RoutingPlan& plan,
               Saved&) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const TensorView chosen = exec.scratch(DType::kF32, {T, options_.k});
    ops::softmax_rows(exec, in.logits, plan.scores);
    TensorView ranked = plan.scores;
    if (steers()) {
      ranked = exec.scratch(DType::kF32, {T, E});
      add_correction_bias(exec, params, plan.scores, ranked);
    }
    ops::topk_rows(exec, ranked, in.token_mask, plan.index, chosen);
    options_.seat(exec, E, chosen, plan);
    chosen_share(exec, share(), plan.scores, plan.index, plan.weight);
  }

  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved&, const RoutingGrad& grad, const GatingGrad& out) const override {
    const TensorView dprobs = exec.scratch(DType::kF32, {in.logits.dim(0), in.logits.dim(1)});
    chosen_share_backward(exec, share(), plan.scores, plan.index, grad.weight, dprobs);
    softmax_gate_backward(exec, plan, grad, dprobs, out);
  }

  void end_step(Exec& exec, const Params& params, ConstTensorView load) const override {
    if (steers()) move_correction_bias(exec, params, load, options_.bias_update_speed);
  }

 private:
  bool steers() const { return options_.bias_update_speed > 0; }
  ShareForm share() const { return {.normalize = options_.norm_topk_prob}; }
  Options options_;
  int64_t experts_;
};

}  // namespace

MOIETY_PLUGIN("softmax_topk", "1.0.0") {
  plugin.add<SoftmaxTopK>("softmax_topk",
                          "the k most likely experts, as Mixtral, OLMoE, Qwen3-MoE");
}
