// Sinkhorn routing (S-BASE: Clark et al., 2022; Megatron-LM's sinkhorn load
// balancing): in training the choices come from a plan that gives every expert the same mass, in
// evaluation from the logits; the weights come from the logits in both.
#include <cmath>

#include <moiety/gate_options.h>
#include <moiety/plugin.h>
#include <moiety/softmax_gate.h>
#include <moiety/chosen_share.cuh>

namespace {

using namespace moiety;

constexpr float kEpsilon = 1e-8f;  // of the sums, as the reference has it

struct Sigmoid {
  Rows<const float> logits;
  Rows<float> score;
  int64_t experts;
  MOIETY_HD void operator()(int64_t t) const {
    for (int64_t e = 0; e < experts; ++e) score[t][e] = 1 / (1 + expf(-logits[t][e]));
  }
};

struct SigmoidBackward {
  Rows<const float> score, dscore;
  Rows<float> dlogits;
  int64_t experts;
  MOIETY_HD void operator()(int64_t t) const {
    for (int64_t e = 0; e < experts; ++e) {
      dlogits[t][e] = dscore[t][e] * score[t][e] * (1 - score[t][e]);
    }
  }
};

/// exp(logits) up to a factor a row, which the row's normalisation takes out again.
struct Exponentials {
  Rows<const float> logits;
  Rows<float> mass;
  int64_t experts;
  MOIETY_HD void operator()(int64_t t) const {
    float top = -INFINITY;
    for (int64_t e = 0; e < experts; ++e) top = fmaxf(top, logits[t][e]);
    for (int64_t e = 0; e < experts; ++e) mass[t][e] = expf(logits[t][e] - top);
  }
};

struct NormaliseToken {
  Rows<const float> mass;
  const float* column;  // [E]: factor of each expert
  Rows<float> scaled;
  int64_t experts;
  MOIETY_HD void operator()(int64_t t) const {
    float sum = 0;
    for (int64_t e = 0; e < experts; ++e) sum += column[e] * mass[t][e];
    for (int64_t e = 0; e < experts; ++e) scaled[t][e] = mass[t][e] / (sum + kEpsilon);
  }
};

struct NormaliseExpert {
  const float* mean;  // [E]: of the tokens' scaled mass
  float* column;
  int64_t experts;
  MOIETY_HD void operator()(int64_t e) const {
    column[e] = 1 / (static_cast<float>(experts) * (mean[e] + kEpsilon));
  }
};

/// log of the plan up to a number a row: orders a token's experts as the plan does, and does not
/// underflow where it would.
struct Rank {
  Rows<const float> logits;
  const float* column;
  Rows<float> ranked;
  int64_t experts;
  MOIETY_HD void operator()(int64_t t) const {
    for (int64_t e = 0; e < experts; ++e) ranked[t][e] = logits[t][e] + logf(column[e]);
  }
};

class Sinkhorn final : public GatingPolicy {
 public:
  struct Options : SeatingOptions {
    Options() { drop_tokens = false; }
    int64_t k = 1, iterations = 16;
    static void describe(Schema<Options>& s) {
      s.field("k", &Options::k,
              "experts a token is sent to; 1: weighted by the sigmoid of the logit, more: by the "
              "softmax")
          .range(1, 64);
      s.field("iterations", &Options::iterations,
              "rounds of normalisation over tokens and experts; a fixed number, so that a step is "
              "the same from run to run")
          .range(1, 100);
      describe_seating(s);
    }
  };
  Sinkhorn(const Options& options, const ModelDims&) : options_(options) {}

  const void* facet(std::string_view name) const override { return balances_itself(name); }

  PlanShape plan_shape(int64_t T, int64_t E, bool training) const override {
    check_choices(options_.k, E);
    return {.slots = options_.k,
            .capacity = options_.places(T, E, options_.k, training),
            .writes_position = true};
  }

  void forward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
               Saved& saved) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const TensorView score = saved.keep("score", DType::kF32, {T, E});
    const TensorView chosen = exec.scratch(DType::kF32, {T, options_.k});
    if (options_.k == 1) {
      for_each_row(exec, T, Sigmoid{in.logits.rows<float>(), score.rows<float>(), E});
    } else {
      ops::softmax_rows(exec, in.logits, score);
    }
    const TensorView ranked = exec.scratch(DType::kF32, {T, E});
    if (in.training) {
      rank(exec, in, ranked);
    } else {
      ops::copy(exec, in.logits, ranked);
    }
    ops::topk_rows(exec, ranked, in.token_mask, plan.index, chosen);
    options_.seat(exec, E, chosen, plan);
    chosen_share(exec, kPlain, score, plan.index, plan.weight);
  }

  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved& saved, const RoutingGrad& grad, const GatingGrad& out) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const ConstTensorView score = saved["score"];
    const TensorView dscore = exec.scratch(DType::kF32, {T, E});
    chosen_share_backward(exec, kPlain, score, plan.index, grad.weight, dscore);
    if (options_.k == 1) {
      for_each_row(exec, T,
                   SigmoidBackward{score.rows<float>(), ConstTensorView(dscore).rows<float>(),
                                   out.logits.rows<float>(), E});
    } else {
      ops::softmax_rows_backward(exec, score, dscore, out.logits);
    }
  }

 private:
  static constexpr ShareForm kPlain{.normalize = false};

  void rank(Exec& exec, const GatingInputs& in, TensorView ranked) const {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const TensorView mass = exec.scratch(DType::kF32, {T, E});
    const TensorView scaled = exec.scratch(DType::kF32, {T, E});
    const TensorView column = exec.scratch(DType::kF32, {E}), mean = exec.scratch(DType::kF32, {E});
    for_each_row(exec, T, Exponentials{in.logits.rows<float>(), mass.rows<float>(), E});
    ops::fill(exec, column, 1);
    for (int64_t i = 0; i < options_.iterations; ++i) {
      for_each_row(exec, T,
                   NormaliseToken{ConstTensorView(mass).rows<float>(), column.data<float>(),
                                  scaled.rows<float>(), E});
      ops::column_mean(exec, scaled, in.token_mask, mean);
      for_each_row(exec, E, NormaliseExpert{mean.data<float>(), column.data<float>(), E});
    }
    for_each_row(exec, T,
                 Rank{in.logits.rows<float>(), column.data<float>(), ranked.rows<float>(), E});
  }
  Options options_;
};

}  // namespace

MOIETY_PLUGIN("sinkhorn", "1.0.0") {
  plugin.add<Sinkhorn>("sinkhorn", "choices that give every expert the same mass, in training");
}
