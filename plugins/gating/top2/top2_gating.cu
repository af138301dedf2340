// Top-2 routing as DeepSpeed has it (moe/sharded_moe.py, top2gating; after GShard): the second
// expert is sampled, all first choices are seated before any second one, and what is kept shares
// the weight.
#include <moiety/ops.h>
#include <moiety/plugin.h>
#include <moiety/softmax_gate.h>
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
  struct Options : DeepSpeedGateOptions {
    bool top2_2nd_expert_sampling = true;
    static void describe(Schema<Options>& s) {
      describe_capacity(s);
      s.field("top2_2nd_expert_sampling", &Options::top2_2nd_expert_sampling,
              "Gumbel noise on the second choice, in training and, as DeepSpeed has it, in "
              "evaluation");
      describe_noise(s, "noise in training: Jitter scales the router's input by up to 1 %",
                     {"None", "Jitter"});
    }
  };
  Top2(const Options& options, const ModelDims&) : options_(options) {}

  const void* facet(std::string_view name) const override {
    return deepspeed_facet(options_, name);
  }

  PlanShape plan_shape(int64_t T, int64_t E, bool training) const override {
    if (E < 2) throw Error("gating top2 needs two experts or more, got " + std::to_string(E));
    return {.slots = 2,
            .capacity = options_.places(T, E, 2, training),
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

    deepspeed_loss(exec, plan, first, saved);
    ops::assign_positions(exec, ops::SlotOrder::kChoice, E, plan.capacity, plan.index,
                          plan.position);
    kept_share(exec, plan.scores, plan.index, plan.weight);
  }

  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved& saved, const RoutingGrad& grad, const GatingGrad& out) const override {
    const TensorView dkept = exec.scratch(DType::kF32, {in.logits.dim(0), 2});
    kept_share_backward(exec, plan.scores, plan.index, grad.weight, dkept);
    deepspeed_backward(exec, plan, saved, grad, dkept, 1, out);
  }

 private:
  Options options_;
};

}  // namespace

MOIETY_PLUGIN("top2", "1.0.0") {
  plugin.add<Top2>("top2", "two experts a token, the second sampled, with capacity");
}
