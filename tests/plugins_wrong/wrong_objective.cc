// Objectives (softmax cross-entropy) that are wrong in one way each; see wrong_gating.cc.
#include <algorithm>
#include <cmath>
#include <random>

#include <moiety/objective.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

enum class Bug {
  kRepeatable,
  kWritten,
  kBounds,
  kGradient,
  kMask,
  kDenominator,
  kLossScale,
  kMetrics,
  kBlocks,
  kEvaluation,
  kAlias,
  kDtypes,
  kErrors,
  kEdges
};

struct NoOptions {
  static void describe(Schema<NoOptions>&) {}
};

template <Bug bug>
class CrossEntropy final : public Objective {
 public:
  using Options = NoOptions;
  static constexpr Traits kTraits{.cuda = false};
  CrossEntropy(const Options&, const ModelDims&) {}

  std::vector<std::string> metrics() const override { return {"rows"}; }

  void evaluate(Exec& exec, const ObjectiveInputs& in, TensorView row_loss, TensorView grad,
                TensorView metrics) const override {
    if (in.logits.dtype == DType::kBF16) return rows<BFloat16>(exec, in, row_loss, grad, metrics);
    if (in.logits.dtype == DType::kF16) return rows<Float16>(exec, in, row_loss, grad, metrics);
    rows<float>(exec, in, row_loss, grad, metrics);
  }

 private:
  template <class T>
  void rows(Exec& exec, const ObjectiveInputs& in, TensorView row_loss, TensorView grad,
            TensorView metrics) const {
    const int64_t R = in.logits.dim(0), V = in.logits.dim(1);
    const T* logits =
        bug == Bug::kErrors ? static_cast<const T*>(in.logits.raw()) : in.logits.template data<T>();
    T* out = grad ? grad.template data<T>() : nullptr;
    float* losses = row_loss.data<float>();
    const bool low = bug == Bug::kDtypes && in.logits.dtype != DType::kF32;
    float scale = bug == Bug::kLossScale ? 1 : exec.step()->loss_scale;
    if (bug != Bug::kDenominator) scale /= in.denominator.data<float>()[0];
    if (bug == Bug::kGradient) scale *= 2;
    if (bug == Bug::kAlias && out != nullptr) std::fill_n(out, R * V, T(0.f));
    for (int64_t r = 0; r < R; ++r) {
      const int32_t target = in.targets.data<int32_t>()[r];
      float top = -INFINITY, sum = 0;
      for (int64_t v = 0; v < V; ++v) top = std::max(top, float(logits[r * V + v]));
      if (bug == Bug::kEdges) top = 0;
      for (int64_t v = 0; v < V; ++v) sum += std::exp(float(logits[r * V + v]) - top);
      bool counts = target >= 0 && !low;
      if (bug == Bug::kBlocks && r >= R / 3 * 3) counts = false;  // takes rows by three
      float loss = counts ? std::log(sum) + top - float(logits[r * V + target]) : 0;
      if (bug == Bug::kEvaluation && out == nullptr) loss = 0;
      if (bug == Bug::kRepeatable) loss += std::uniform_real_distribution<float>()(own_);
      if (bug != Bug::kWritten || r < R - 1) losses[r] = loss;
      const bool masked = in.loss_mask && bug != Bug::kMask;
      const float factor = scale * (masked ? in.loss_mask.data<float>()[r] : 1);
      for (int64_t v = 0; v < V && out != nullptr; ++v) {
        const float p = std::exp(float(logits[r * V + v]) - top) / sum;
        out[r * V + v] = T(counts ? (p - (v == target ? 1.f : 0.f)) * factor : 0.f);
      }
    }
    if (bug == Bug::kBounds) losses[R] = 0;
    float& count = metrics.data<float>()[0];
    count = (bug == Bug::kMetrics ? 0 : count) + static_cast<float>(R);
  }

  mutable std::mt19937 own_;
};

}  // namespace

MOIETY_PLUGIN("wrong", "1.0.0") {
  plugin.add<CrossEntropy<Bug::kRepeatable>>("wrong_repeatable", "draws for itself");
  plugin.add<CrossEntropy<Bug::kWritten>>("wrong_written", "leaves the last loss unwritten");
  plugin.add<CrossEntropy<Bug::kBounds>>("wrong_bounds", "writes one loss too many");
  plugin.add<CrossEntropy<Bug::kGradient>>("wrong_gradient", "gives twice the gradient");
  plugin.add<CrossEntropy<Bug::kMask>>("wrong_mask", "ignores the mask");
  plugin.add<CrossEntropy<Bug::kDenominator>>("wrong_denominator", "sums where it should average");
  plugin.add<CrossEntropy<Bug::kLossScale>>("wrong_loss_scale", "ignores the loss scale");
  plugin.add<CrossEntropy<Bug::kMetrics>>("wrong_metrics", "overwrites its metrics");
  plugin.add<CrossEntropy<Bug::kBlocks>>("wrong_blocks", "takes rows by three");
  plugin.add<CrossEntropy<Bug::kEvaluation>>("wrong_evaluation", "no loss without a gradient");
  plugin.add<CrossEntropy<Bug::kAlias>>("wrong_alias", "clears grad before it reads the logits");
  plugin.add<CrossEntropy<Bug::kDtypes>>("wrong_dtypes", "gives zeros in half precision");
  plugin.add<CrossEntropy<Bug::kErrors>>("wrong_errors", "takes any dtype for f32");
  plugin.add<CrossEntropy<Bug::kEdges>>("wrong_edges", "overflows where logits are large");
}
