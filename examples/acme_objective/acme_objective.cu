// Objective `acme`: next-token cross-entropy with label smoothing (Szegedy et al., 2016): a share
// of the target's probability is spread over the vocabulary.
#include <cmath>

#include <moiety/objective.h>
#include <moiety/ops.h>
#include <moiety/plugin.h>
#include <moiety/rows.cuh>

namespace {

using namespace moiety;

// One row. loss = logsumexp(x) - (1 - s) x[target] - s mean(x); its gradient, softmax(x) - (1 - s)
// onehot - s / V, overwrites the logits' f32 copy, times what the core asks for.
struct Smoothed {
  Rows<float> x;
  const int32_t* target;
  const float *mask, *denominator;  // mask may be null = 1
  const StepState* step;
  float* loss;
  int64_t V;
  float smoothing;

  MOIETY_HD void operator()(int64_t r) const {
    float* row = x[r];
    const int32_t t = target[r];
    float top = row[0], sum = 0, total = 0;
    for (int64_t c = 1; c < V; ++c) top = row[c] > top ? row[c] : top;
    for (int64_t c = 0; c < V; ++c) sum += expf(row[c] - top), total += row[c];
    const float mean = total / static_cast<float>(V);
    loss[r] = t < 0 ? 0.0f : logf(sum) + top - (1 - smoothing) * row[t] - smoothing * mean;
    const float weight = t < 0 ? 0.0f : mask == nullptr ? 1.0f : mask[r];
    const float factor =
        weight == 0 || denominator[0] == 0 ? 0.0f : weight * step->loss_scale / denominator[0];
    for (int64_t c = 0; c < V; ++c) {
      const float wanted = (c == t ? 1 - smoothing : 0.0f) + smoothing / static_cast<float>(V);
      row[c] = factor == 0 ? 0.0f : factor * (expf(row[c] - top) / sum - wanted);
    }
  }
};

class AcmeObjective final : public Objective {
 public:
  struct Options {
    double smoothing = 0.1;
    static void describe(Schema<Options>& s) {
      s.field("smoothing", &Options::smoothing, "share spread over the vocabulary").range(0, 0.99);
    }
  };
  AcmeObjective(const Options& options, const ModelDims&)
      : smoothing_(static_cast<float>(options.smoothing)) {}

  void evaluate(Exec& exec, const ObjectiveInputs& in, TensorView row_loss, TensorView grad,
                TensorView) const override {
    const int64_t R = in.logits.dim(0), V = in.logits.dim(1);
    const TensorView x = exec.scratch(DType::kF32, {R, V});
    ops::copy(exec, in.logits, x);  // the logits may be bf16 or f16, and grad may lie over them
    for_each_row(
        exec, R,
        Smoothed{x.rows<float>(), in.targets.data<int32_t>(),
                 in.loss_mask ? in.loss_mask.data<float>() : nullptr, in.denominator.data<float>(),
                 exec.step(), row_loss.data<float>(), V, smoothing_});
    if (grad) ops::copy(exec, x, grad);  // empty in evaluation
  }

 private:
  float smoothing_;
};

}  // namespace

MOIETY_PLUGIN("acme", "0.1.0") {
  plugin.add<AcmeObjective>("acme", "Cross-entropy with label smoothing");
}
