// Gates that are wrong in one way each: the kit must catch wrong_<check> by the check <check> and
// by no other. Top-1 over logits with noise; plain loops, so on the CPU alone.
#include <algorithm>
#include <cmath>
#include <random>

#include <moiety/ops.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

enum class Bug {
  kOptions,
  kDeclarations,
  kPlanValid,
  kRepeatable,
  kWritten,
  kBounds,
  kMask,
  kInFlight,
  kSplit,
  kGradient,
  kGradMode,
  kResume,
  kErrors,
  kEdges,
  kLifetime
};

template <Bug bug>
struct Options {
  double scale = 1;
  static void describe(Schema<Options>& s) {
    if (bug != Bug::kOptions) return;
    s.field("scale", &Options::scale, "of the noise").range(1, 10);
  }
};

template <Bug bug>
class Gate final : public GatingPolicy {
 public:
  using Options = ::Options<bug>;
  static constexpr Traits kTraits{.cuda = false};

  Gate(const Options& options, const ModelDims& dims) : experts_(dims.experts) {
    static int made = 0;
    if (bug == Bug::kLifetime && ++made > 100) throw Error("no more than 100 of these");
    if (options.scale > 9) throw Error("cannot do this");
  }

  void declare(Declarations& to) const override {
    ParamSpec spec;
    spec.name = "bias";
    spec.shape = {bug == Bug::kDeclarations ? 0 : experts_};
    spec.keep_f32 = true;
    if (bug == Bug::kDeclarations || bug == Bug::kGradMode) to.parameter(spec);
  }

  PlanShape plan_shape(int64_t, int64_t, bool) const override { return {.writes_scores = true}; }

  void forward(Exec& exec, const GatingInputs& in, const Params& params, const RoutingPlan& plan,
               Saved& saved) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const float* logits =
        bug == Bug::kErrors ? static_cast<const float*>(in.logits.raw()) : in.logits.data<float>();
    float* probs = plan.scores.data<float>();
    const Rng noise = exec.rng("choice");
    for (int64_t t = 0; t < T; ++t) {
      float top = -INFINITY, sum = 0;
      int32_t best = 0;
      const auto biased = [&](int64_t e) {
        const float z = logits[t * E + e] + (bug == Bug::kResume ? steps_ : 0) * float(e % 2);
        return bug == Bug::kGradMode ? z + params["bias"].value().data<float>()[e] : z;
      };
      for (int64_t e = 0; e < E; ++e) top = std::max(top, biased(e));
      if (bug == Bug::kEdges) top = 0;
      for (int64_t e = 0; e < E; ++e) sum += probs[t * E + e] = std::exp(biased(e) - top);
      float highest = -INFINITY;
      for (int64_t e = 0; e < E; ++e) {
        probs[t * E + e] /= sum;
        const float value = biased(e) + draw(noise, t, e);
        if (value > highest) highest = value, best = static_cast<int32_t>(e);
      }
      const bool used = bug == Bug::kMask || !in.token_mask || in.token_mask.data<uint8_t>()[t];
      plan.index.data<int32_t>()[t] = used ? best : kUnused;
      plan.weight.data<float>()[t] = used ? probs[t * E + best] : 0;
    }
    if (bug == Bug::kPlanValid && T > 0) plan.index.data<int32_t>()[T - 1] = int32_t(E);
    if (bug == Bug::kBounds) plan.weight.data<float>()[T] = 0;
    const TensorView kept = saved.keep("probs", DType::kF32, {T, E});
    std::copy_n(probs, T * E, kept.data<float>());
    last_ = kept;
  }

  void backward(Exec&, const GatingInputs& in, const Params& params, const RoutingPlan& plan,
                const Saved& saved, const RoutingGrad& grad, const GatingGrad& out) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const float* probs = (bug == Bug::kInFlight ? last_ : saved["probs"]).template data<float>();
    float* dlogits = out.logits.data<float>();
    std::vector<float> dprobs(static_cast<size_t>(E)), dbias(static_cast<size_t>(E), 0.f);
    for (int64_t t = 0; t < (bug == Bug::kWritten ? T - 1 : T); ++t) {
      float mean = 0;
      for (int64_t e = 0; e < E; ++e) {
        float& d = dprobs[static_cast<size_t>(e)];
        d = grad.scores ? grad.scores.data<float>()[t * E + e] : 0;
        if (plan.index.data<int32_t>()[t] == e) d += grad.weight.data<float>()[t];
        mean += d * probs[t * E + e];
      }
      for (int64_t e = 0; e < E; ++e) {
        float d = probs[t * E + e] * (dprobs[static_cast<size_t>(e)] - mean);
        dbias[static_cast<size_t>(e)] += d;
        dlogits[t * E + e] = bug == Bug::kGradient ? 1.5f * d : d;
      }
    }
    if (bug == Bug::kGradMode) {  // = where it should be +=
      std::copy(dbias.begin(), dbias.end(), params["bias"].grad().data<float>());
    }
  }

  void end_step(Exec&, const Params&, ConstTensorView) const override { steps_ += 1; }

 private:
  float draw(const Rng& noise, int64_t t, int64_t e) const {
    if (bug == Bug::kRepeatable) return std::uniform_real_distribution<float>(0, 4)(own_);
    if (bug == Bug::kSplit) return static_cast<float>((t * 7 + e * 3) % 5);  // by local row
    return noise.uniform(t, e);
  }
  int64_t experts_;
  mutable ConstTensorView last_;
  mutable float steps_ = 0;
  mutable std::mt19937 own_;
};

}  // namespace

MOIETY_PLUGIN("wrong", "1.0.0") {
  plugin.add<Gate<Bug::kOptions>>("wrong_options", "refuses a legal value without naming it");
  plugin.add<Gate<Bug::kDeclarations>>("wrong_declarations", "declares a tensor of no elements");
  plugin.add<Gate<Bug::kPlanValid>>("wrong_plan_valid", "names an expert that does not exist");
  plugin.add<Gate<Bug::kRepeatable>>("wrong_repeatable", "draws from a generator of its own");
  plugin.add<Gate<Bug::kWritten>>("wrong_written", "leaves the last row's gradient unwritten");
  plugin.add<Gate<Bug::kBounds>>("wrong_bounds", "writes one weight too many");
  plugin.add<Gate<Bug::kMask>>("wrong_mask", "routes padding");
  plugin.add<Gate<Bug::kInFlight>>("wrong_in_flight", "keeps the last call in a member");
  plugin.add<Gate<Bug::kSplit>>("wrong_split", "keys its noise by the local row");
  plugin.add<Gate<Bug::kGradient>>("wrong_gradient", "gives 1.5 times the gradient");
  plugin.add<Gate<Bug::kGradMode>>("wrong_grad_mode", "overwrites where it should add");
  plugin.add<Gate<Bug::kResume>>("wrong_resume", "counts steps in a member, not in a buffer");
  plugin.add<Gate<Bug::kErrors>>("wrong_errors", "takes any dtype for f32");
  plugin.add<Gate<Bug::kEdges>>("wrong_edges", "overflows where logits are large");
  plugin.add<Gate<Bug::kLifetime>>("wrong_lifetime", "can be made a hundred times only");
}
