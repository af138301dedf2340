// Top-1 routing as DeepSpeed has it (moe/sharded_moe.py, top1gating): random token selection
// decides who keeps a place in a full expert, and the raw probability is the weight.
#include <moiety/capacity.h>
#include <moiety/ops.h>
#include <moiety/plugin.h>
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
  struct Options {
    double capacity_factor = 1, eval_capacity_factor = 1;
    int64_t min_capacity = 4;
    bool drop_tokens = true, use_rts = true;
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
      s.field("use_rts", &Options::use_rts,
              "a full expert keeps random tokens (false: the first ones)");
      s.field("noisy_gate_policy", &Options::noisy_gate_policy,
              "noise in training: Jitter scales the router's input by up to 1 %, RSample samples "
              "the expert from the probabilities")
          .one_of({"None", "Jitter", "RSample"});
    }
  };
  Top1(const Options& options, const ModelDims&) : options_(options) {}

  const void* facet(std::string_view name) const override {
    static constexpr double kJitter = 1e-2;
    const bool jitter = options_.noisy_gate_policy == "Jitter";
    return name == "router_input_jitter" && jitter ? &kJitter : nullptr;
  }

  PlanShape plan_shape(int64_t T, int64_t E, bool training) const override {
    const double factor = training ? options_.capacity_factor : options_.eval_capacity_factor;
    const int64_t places = capacity(T, E, factor, options_.min_capacity);
    return {.capacity = options_.drop_tokens ? places : 0,
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

    // E * sum of (mean probability, padding included) * (share of the choices before dropping).
    const TensorView counts = saved.keep("counts", DType::kF32, {E});
    const TensorView mean = exec.scratch(DType::kF32, {E});
    ops::expert_counts(exec, plan.index, counts);
    ops::column_mean(exec, plan.scores, {}, mean);
    ops::dot(exec, mean, counts, loss_factor(T, E), plan.aux_loss);

    if (options_.use_rts && plan.capacity > 0) {
      const TensorView lot = exec.scratch(DType::kF32, {T, 1});
      for_each_row(exec, T, Draw{index, lot.rows<float>(), exec.rng("rts")});
      ops::assign_positions_by_priority(exec, E, plan.capacity, lot, plan.index, plan.position);
    } else {
      ops::assign_positions(exec, ops::SlotOrder::kToken, E, plan.capacity, plan.index,
                            plan.position);
    }
  }

  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved& saved, const RoutingGrad& grad, const GatingGrad& out) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const TensorView dprobs = exec.scratch(DType::kF32, {T, E});
    ops::topk_rows_backward(exec, plan.index, grad.weight, dprobs);
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

MOIETY_PLUGIN("top1", "1.0.0") {
  plugin.add<Top1>("top1", "one expert a token, with capacity and random token selection");
}
