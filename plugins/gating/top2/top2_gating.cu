// Top-2 routing as DeepSpeed has it (moe/sharded_moe.py, top2gating; after GShard): the second
// expert is sampled, all first choices are seated before any second one, and what is kept shares
// the weight.
#include <moiety/capacity.h>
#include <moiety/ops.h>
#include <moiety/plugin.h>
#include <moiety/gumbel.cuh>
#include <moiety/kept_share.cuh>
#include <moiety/rows.cuh>

namespace {

using namespace moiety;

struct Others {  // one logit of one token, for the choice among all experts but the first
  Rows<const float> logits;
  Rows<const int32_t> first;
  Rows<float> ranked;
  Gumbel noise;
  bool sample;
  int64_t experts;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t t = i / experts, e = i % experts;
    const float value = logits[t][e] + (sample ? noise(t, e) : 0.f);
    ranked[t][e] = e == first[t][0] ? -INFINITY : value;
  }
};

class Top2 final : public GatingPolicy {
 public:
  struct Options {
    double capacity_factor = 1, eval_capacity_factor = 1;
    int64_t min_capacity = 4;
    bool drop_tokens = true, top2_2nd_expert_sampling = true;
    std::string noisy_gate_policy = "None";
    static void describe(Schema<Options>& s) {
      s.field("capacity_factor", &Options::capacity_factor,
              "slots of an expert over the even share, in training")
          .range(0.01, 1024);
      s.field("eval_capacity_factor", &Options::eval_capacity_factor, "the same in evaluation")
          .range(0.01, 1024);
      s.field("min_capacity", &Options::min_capacity, "slots an expert has at least")
          .range(0, 1 << 20);
      s.field("drop_tokens", &Options::drop_tokens, "false: no capacity, no token is dropped");
      s.field("top2_2nd_expert_sampling", &Options::top2_2nd_expert_sampling,
              "Gumbel noise on the second choice, in training and, as DeepSpeed has it, in "
              "evaluation");
      s.field("noisy_gate_policy", &Options::noisy_gate_policy,
              "noise in training: Jitter scales the router's input by up to 1 %")
          .one_of({"None", "Jitter"});
    }
  };
  Top2(const Options& options, const ModelDims&) : options_(options) {}

  const void* facet(std::string_view name) const override {
    static constexpr double kJitter = 1e-2;
    const bool jitter = options_.noisy_gate_policy == "Jitter";
    return name == "router_input_jitter" && jitter ? &kJitter : nullptr;
  }

  PlanShape plan_shape(int64_t T, int64_t E, bool training) const override {
    if (E < 2)
      throw ConfigError("needs two experts or more, got " + std::to_string(E) +
                        "; raise moe.num_experts");
    const double factor = training ? options_.capacity_factor : options_.eval_capacity_factor;
    const int64_t places = capacity(T, E, 2 * factor, options_.min_capacity);
    return {.slots = 2,
            .capacity = options_.drop_tokens ? places : 0,
            .aux_losses = 1,
            .writes_position = true,
            .writes_scores = true};
  }

  void forward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
               Saved& saved) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const TensorView first = plan.index.slice(1, 0, 1), second = plan.index.slice(1, 1, 1);
    const TensorView unused = exec.scratch(DType::kF32, {T, 1});
    const TensorView others = exec.scratch(DType::kF32, {T, E});
    ops::softmax_rows(exec, in.logits, plan.scores);
    ops::topk_rows(exec, plan.scores, in.token_mask, first, unused);
    for_each_row(exec, T * E,
                 Others{in.logits.rows<float>(), ConstTensorView(first).rows<int32_t>(),
                        others.rows<float>(), gumbel(exec), options_.top2_2nd_expert_sampling, E});
    ops::topk_rows(exec, others, in.token_mask, second, unused);

    // E * sum of (mean probability, padding included) * (share of the first choices).
    const TensorView counts = saved.keep("counts", DType::kF32, {E});
    const TensorView mean = exec.scratch(DType::kF32, {E});
    ops::expert_counts(exec, first, counts);
    ops::column_mean(exec, plan.scores, {}, mean);
    ops::dot(exec, mean, counts, loss_factor(T, E), plan.aux_loss);

    ops::assign_positions(exec, ops::SlotOrder::kChoice, E, plan.capacity, plan.index,
                          plan.position);
    kept_share(exec, plan.scores, plan.index, plan.weight);
  }

  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved& saved, const RoutingGrad& grad, const GatingGrad& out) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const TensorView dkept = exec.scratch(DType::kF32, {T, 2});
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
  static double loss_factor(int64_t T, int64_t E) {
    return T == 0 ? 0 : static_cast<double>(E) / static_cast<double>(T);
  }
  Options options_;
};

}  // namespace

MOIETY_PLUGIN("top2", "1.0.0") {
  plugin.add<Top2>("top2", "two experts a token, the second sampled, with capacity");
}
