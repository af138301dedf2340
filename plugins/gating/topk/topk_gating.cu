// Top-k routing as DeepSpeed has it (moe/sharded_moe.py, topkgating): a full expert keeps the most
// likely tokens, and what is kept of a token's choices shares the weight. With k 2 and without
// dropping it is Mixtral's router.
#include <moiety/capacity.h>
#include <moiety/ops.h>
#include <moiety/plugin.h>
#include <moiety/kept_share.cuh>

namespace {

using namespace moiety;

class TopK final : public GatingPolicy {
 public:
  struct Options {
    int64_t k = 2;
    double capacity_factor = 1, eval_capacity_factor = 1;
    int64_t min_capacity = 4;
    bool drop_tokens = true;
    std::string drop_policy = "probs", noisy_gate_policy = "None";
    static void describe(Schema<Options>& s) {
      s.field("k", &Options::k, "experts a token is sent to").range(1, 64);
      s.field("capacity_factor", &Options::capacity_factor,
              "slots of an expert over the even share, in training")
          .range(0.01, 1024);
      s.field("eval_capacity_factor", &Options::eval_capacity_factor, "the same in evaluation")
          .range(0.01, 1024);
      s.field("min_capacity", &Options::min_capacity, "slots an expert has at least")
          .range(0, 1 << 20);
      s.field("drop_tokens", &Options::drop_tokens, "false: no capacity, no token is dropped");
      s.field("drop_policy", &Options::drop_policy,
              "whom a full expert keeps: the most likely tokens or the first ones")
          .one_of({"probs", "position"});
      s.field("noisy_gate_policy", &Options::noisy_gate_policy,
              "noise in training: Jitter scales the router's input by up to 1 %")
          .one_of({"None", "Jitter"});
    }
  };
  TopK(const Options& options, const ModelDims&) : options_(options) {}

  const void* facet(std::string_view name) const override {
    static constexpr double kJitter = 1e-2;
    const bool jitter = options_.noisy_gate_policy == "Jitter";
    return name == "router_input_jitter" && jitter ? &kJitter : nullptr;
  }

  PlanShape plan_shape(int64_t T, int64_t E, bool training) const override {
    if (options_.k > E) {
      throw ConfigError("a token is sent to k = " + std::to_string(options_.k) +
                        " experts, but the layer has " + std::to_string(E) +
                        "; lower moe.k or raise moe.num_experts");
    }
    const double factor = training ? options_.capacity_factor : options_.eval_capacity_factor;
    const int64_t places =
        capacity(T, E, factor * static_cast<double>(options_.k), options_.min_capacity);
    return {.slots = options_.k,
            .capacity = options_.drop_tokens ? places : 0,
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

    // E / k * sum of (mean probability, padding included) * (choices a token before dropping).
    const TensorView counts = saved.keep("counts", DType::kF32, {E});
    const TensorView mean = exec.scratch(DType::kF32, {E});
    ops::expert_counts(exec, plan.index, counts);
    ops::column_mean(exec, plan.scores, {}, mean);
    ops::dot(exec, mean, counts, loss_factor(T, E), plan.aux_loss);

    if (plan.capacity > 0 && options_.drop_policy == "probs") {
      ops::assign_positions_by_priority(exec, E, plan.capacity, chosen, plan.index, plan.position);
    } else {
      ops::assign_positions(exec, ops::SlotOrder::kToken, E, plan.capacity, plan.index,
                            plan.position);
    }
    kept_share(exec, plan.scores, plan.index, plan.weight);
  }

  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved& saved, const RoutingGrad& grad, const GatingGrad& out) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const TensorView dkept = exec.scratch(DType::kF32, {T, options_.k});
    const TensorView dprobs = exec.scratch(DType::kF32, {T, E});
    kept_share_backward(exec, plan.scores, plan.index, grad.weight, dkept);
    ops::topk_rows_backward(exec, plan.index, dkept, dprobs);
    if (T > 0) {
      ops::add_to_rows(exec, saved["counts"], grad.aux_loss,
                       loss_factor(T, E) / static_cast<double>(T), {}, dprobs);
    }
    if (grad.scores) ops::add(exec, dprobs, grad.scores, dprobs);
    ops::softmax_rows_backward(exec, plan.scores, dprobs, out.logits);
  }

 private:
  double loss_factor(int64_t T, int64_t E) const {
    return T == 0 ? 0 : static_cast<double>(E) / static_cast<double>(options_.k * T);
  }
  Options options_;
};

}  // namespace

MOIETY_PLUGIN("topk", "1.0.0") {
  plugin.add<TopK>("topk", "the k most likely experts of each token, with capacity");
}
