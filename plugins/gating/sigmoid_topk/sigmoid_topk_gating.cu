// DeepSeek-V3's router (DeepSeek-AI, 2024, eq. 12-16 and section 2.1.2): sigmoid scores, experts
// taken from the best groups alone, a bias that counts for the selection and not for the weights.
#include <cmath>

#include <moiety/gate_options.h>
#include <moiety/plugin.h>
#include <moiety/chosen_share.cuh>
#include <moiety/correction_bias.cuh>

namespace {

using namespace moiety;

constexpr float kEpsilon = 1e-20f;  // of sums of scores, as the reference has it

struct Score {  // a token's scores, and their shares of 1 for the balancing losses
  Rows<const float> logits;
  Rows<float> score, share;
  int64_t experts;
  MOIETY_HD void operator()(int64_t t) const {
    float sum = 0;
    for (int64_t e = 0; e < experts; ++e) sum += score[t][e] = 1 / (1 + expf(-logits[t][e]));
    for (int64_t e = 0; e < experts; ++e) share[t][e] = score[t][e] / (sum + kEpsilon);
  }
};

struct ScoreBackward {                             // dscore holds what comes from the weights
  Rows<const float> score, share, dscore, dshare;  // dshare: null where nothing reads the shares
  Rows<float> dlogits;
  int64_t experts;
  MOIETY_HD void operator()(int64_t t) const {
    float sum = 0, mean = 0;
    for (int64_t e = 0; dshare.ptr != nullptr && e < experts; ++e) {
      sum += score[t][e];
      mean += share[t][e] * dshare[t][e];
    }
    for (int64_t e = 0; e < experts; ++e) {
      const float s = score[t][e];
      float d = dscore[t][e];
      if (dshare.ptr != nullptr) d += (dshare[t][e] - mean) / (sum + kEpsilon);
      dlogits[t][e] = d * s * (1 - s);
    }
  }
};

struct KeepBestGroups {  // ranks the experts outside a token's groups last
  Rows<float> ranked;
  int64_t experts, groups, kept;
  MOIETY_HD float two_best(const float* values, int64_t n) const {
    float best = -INFINITY, second = -INFINITY;
    for (int64_t i = 0; i < n; ++i) {
      const float x = values[i];
      if (x > best) {
        second = best, best = x;
      } else if (x > second) {
        second = x;
      }
    }
    return n > 1 ? best + second : best;
  }
  MOIETY_HD void operator()(int64_t t) const {
    const int64_t size = experts / groups;
    uint64_t chosen = 0;  // bit g: group g
    for (int64_t n = 0; n < kept; ++n) {
      int64_t best = -1;
      float value = 0;
      for (int64_t g = 0; g < groups; ++g) {
        if ((chosen >> g & 1u) != 0) continue;
        const float x = two_best(ranked[t] + g * size, size);
        if (best < 0 || x > value) best = g, value = x;
      }
      chosen |= uint64_t{1} << best;
    }
    for (int64_t e = 0; e < experts; ++e) {
      if ((chosen >> (e / size) & 1u) == 0) ranked[t][e] = -INFINITY;
    }
  }
};

class SigmoidTopK final : public GatingPolicy {
 public:
  struct Options : SeatingOptions {
    Options() { drop_tokens = false; }
    int64_t k = 2, n_group = 1, topk_group = 1;
    bool norm_topk_prob = true;
    double routed_scaling_factor = 1, bias_update_speed = 0.001;
    static void describe(Schema<Options>& s) {
      s.field("k", &Options::k, "experts a token is sent to").range(1, 64);
      s.field("n_group", &Options::n_group, "groups of neighbouring experts").range(1, 64);
      s.field("topk_group", &Options::topk_group,
              "groups a token chooses from: those whose two best scores have the highest sums")
          .range(1, 64);
      s.field("norm_topk_prob", &Options::norm_topk_prob,
              "the weights of a token's choices sum to routed_scaling_factor; false: they are its "
              "scores times the factor");
      s.field("routed_scaling_factor", &Options::routed_scaling_factor, "factor on all weights")
          .range(0, 1000);
      s.field("bias_update_speed", &Options::bias_update_speed,
              "how far the bias on the selection moves against an expert's load after each step; "
              "0: it stays")
          .range(0, 1);
      describe_seating(s);
    }
  };
  SigmoidTopK(const Options& options, const ModelDims& dims)
      : options_(options), experts_(dims.experts) {
    if (options.topk_group > options.n_group) {
      throw ConfigError(
          "topk_group = " + std::to_string(options.topk_group) +
          " is more than there are groups: n_group = " + std::to_string(options.n_group));
    }
  }

  void declare(Declarations& to) const override {
    to.buffer(kCorrectionBias, DType::kF32, {experts_});
  }

  const void* facet(std::string_view name) const override {
    return options_.bias_update_speed > 0 ? balances_itself(name) : nullptr;
  }

  PlanShape plan_shape(int64_t T, int64_t E, bool training) const override {
    check_choices(options_.k, E);
    check_groups(E);
    return {.slots = options_.k,
            .capacity = options_.places(T, E, options_.k, training),
            .writes_position = true,
            .writes_scores = true};
  }

  void forward(Exec& exec, const GatingInputs& in, const Params& params, const RoutingPlan& plan,
               Saved& saved) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const TensorView score = saved.keep("score", DType::kF32, {T, E});
    const TensorView ranked = exec.scratch(DType::kF32, {T, E});
    const TensorView chosen = exec.scratch(DType::kF32, {T, options_.k});
    for_each_row(exec, T,
                 Score{in.logits.rows<float>(), score.rows<float>(), plan.scores.rows<float>(), E});
    add_correction_bias(exec, params, score, ranked);
    if (options_.topk_group < options_.n_group) {
      for_each_row(exec, T,
                   KeepBestGroups{ranked.rows<float>(), E, options_.n_group, options_.topk_group});
    }
    ops::topk_rows(exec, ranked, in.token_mask, plan.index, chosen);
    options_.seat(exec, E, chosen, plan);
    chosen_share(exec, share(), score, plan.index, plan.weight);
  }

  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved& saved, const RoutingGrad& grad, const GatingGrad& out) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const ConstTensorView score = saved["score"];
    const TensorView dscore = exec.scratch(DType::kF32, {T, E});
    chosen_share_backward(exec, share(), score, plan.index, grad.weight, dscore);
    Rows<const float> dshare;
    if (grad.scores) dshare = grad.scores.rows<float>();
    for_each_row(
        exec, T,
        ScoreBackward{score.rows<float>(), ConstTensorView(plan.scores).rows<float>(),
                      ConstTensorView(dscore).rows<float>(), dshare, out.logits.rows<float>(), E});
  }

  void end_step(Exec& exec, const Params& params, ConstTensorView load) const override {
    if (options_.bias_update_speed == 0) return;
    move_correction_bias(exec, params, load, options_.bias_update_speed);
  }

 private:
  void check_groups(int64_t E) const {
    const int64_t groups = options_.n_group;
    if (E % groups != 0) {
      throw ConfigError("cannot divide " + std::to_string(E) + " experts into n_group = " +
                        std::to_string(groups) + " groups of one size");
    }
    if (options_.k <= options_.topk_group * (E / groups)) return;
    throw ConfigError(
        "k = " + std::to_string(options_.k) +
        " experts do not fit into topk_group = " + std::to_string(options_.topk_group) +
        " groups of " + std::to_string(E / groups) + "; raise topk_group or lower k");
  }
  ShareForm share() const {
    return {options_.norm_topk_prob, kEpsilon, static_cast<float>(options_.routed_scaling_factor)};
  }
  Options options_;
  int64_t experts_;
};

}  // namespace

MOIETY_PLUGIN("sigmoid_topk", "1.0.0") {
  plugin.add<SigmoidTopK>("sigmoid_topk", "sigmoid scores, groups, a balancing bias: DeepSeek-V3");
}
