// Top-1 routing as DeepSpeed has it (moe/sharded_moe.py, top1gating): random token selection
// decides who keeps a place in a full expert, and the raw probability is the weight.
#include <moiety/ops.h>
#include <moiety/plugin.h>
#include <moiety/softmax_gate.h>
#include <moiety/gumbel.cuh>
#include <moiety/rows.cuh>

namespace {

using namespace moiety;

struct Sample {  // one logit of one token
  Rows<const float> logits;
  Rows<float> noisy;
  Gumbel noise;
  int64_t experts;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t t = i / experts, e = i % experts;
    noisy[t][e] = logits[t][e] + noise(t, e);
  }
};

struct Weigh {  // the clean probability, also of a noisy choice
  Rows<const float> probs;
  Rows<const int32_t> index;
  Rows<float> weight;
  MOIETY_HD void operator()(int64_t t) const {
    weight[t][0] = index[t][0] >= 0 ? probs[t][index[t][0]] : 0.f;
  }
};

struct Draw {  // a token's lot for its place in the chosen expert
  Rows<const int32_t> index;
  Rows<float> lot;
  Rng random;
  MOIETY_HD void operator()(int64_t t) const {
    lot[t][0] = index[t][0] >= 0 ? random.uniform(t, index[t][0]) : 0.f;
  }
};

class Top1 final : public GatingPolicy {
 public:
  struct Options : DeepSpeedGateOptions {
    bool use_rts = true;
    static void describe(Schema<Options>& s) {
      describe_capacity(s);
      s.field("use_rts", &Options::use_rts,
              "a full expert keeps random tokens (false: the first ones)");
      describe_noise(s,
                     "noise in training: Jitter scales the router's input by up to 1 %, RSample "
                     "samples the expert from the probabilities",
                     {"None", "Jitter", "RSample"});
    }
  };
  Top1(const Options& options, const ModelDims&) : options_(options) {}

  const void* facet(std::string_view name) const override {
    return deepspeed_facet(options_, name);
  }

  PlanShape plan_shape(int64_t T, int64_t E, bool training) const override {
    return {.capacity = options_.places(T, E, 1, training),
            .aux_losses = 1,
            .writes_position = true,
            .writes_scores = true};
  }

  void forward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
               Saved& saved) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    ops::softmax_rows(exec, in.logits, plan.scores);
    ConstTensorView ranked = plan.scores;
    if (in.training && options_.noisy_gate_policy == "RSample") {
      const TensorView noisy = exec.scratch(DType::kF32, {T, E});
      for_each_row(exec, T * E,
                   Sample{in.logits.rows<float>(), noisy.rows<float>(), gumbel(exec), E});
      ranked = noisy;
    }
    ops::topk_rows(exec, ranked, in.token_mask, plan.index, plan.weight);
    const auto index = ConstTensorView(plan.index).rows<int32_t>();
    for_each_row(
        exec, T,
        Weigh{ConstTensorView(plan.scores).rows<float>(), index, plan.weight.rows<float>()});

    deepspeed_loss(exec, plan, plan.index, saved);
    if (options_.use_rts && plan.capacity > 0) {
      const TensorView lot = exec.scratch(DType::kF32, {T, 1});
      for_each_row(exec, T, Draw{index, lot.rows<float>(), exec.rng("rts")});
      ops::assign_positions_by_priority(exec, E, plan.capacity, lot, plan.index, plan.position);
    } else {
      ops::assign_positions(exec, ops::SlotOrder::kToken, E, plan.capacity, plan.index,
                            plan.position);
    }
  }

  void backward(Exec& exec, const GatingInputs&, const Params&, const RoutingPlan& plan,
                const Saved& saved, const RoutingGrad& grad, const GatingGrad& out) const override {
    deepspeed_backward(exec, plan, saved, grad, grad.weight, 1, out);
  }

 private:
  Options options_;
};

}  // namespace

MOIETY_PLUGIN("top1", "1.0.0") {
  plugin.add<Top1>("top1", "one expert a token, with capacity and random token selection");
}
