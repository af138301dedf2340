// Softmax cross-entropy with its gradient in place (docs/kernels/cross_entropy.md).
#include <cmath>

#include <moiety/ops.h>

#include "core/ops/dtype.h"
#include "core/ops/fast_exp.h"
#include "core/ops/shape_checks.h"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

template <class T>
struct CrossEntropy {
  Rows<const T> logits;
  const int32_t* target;
  const float *mask, *denominator;  // mask may be null = 1
  const StepState* step;
  float* row_loss;
  Rows<T> grad;  // empty in evaluation
  int64_t V;

  /// What one row's gradient is multiplied by. 0 too where no row counts at all.
  MOIETY_HD float factor(int64_t row) const {
    const float weight = mask != nullptr ? mask[row] : 1.0f;
    return weight == 0 || denominator[0] == 0 ? 0.0f : weight * step->loss_scale / denominator[0];
  }

  template <class G>
  MOIETY_HD void fill(const G& group, int64_t row, float value) const {
    if (grad.ptr == nullptr) return;
    T* to = grad[row];
    group.each(V, [&](int64_t c) { to[c] = static_cast<T>(value); });
  }

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t row) const {
    const int64_t t = target[row];
    if (t < 0 || t >= V) {  // no loss; a target outside the vocabulary is loud
      const float value = t < 0 ? 0.0f : NAN;
      if (group.leader()) row_loss[row] = value;
      return fill(group, row, value);
    }
    const T* in = logits[row];
    const auto wanted = static_cast<float>(in[t]);  // before the barriers: grad may lie over it
    const float top = group.max(V, [&](int64_t c) { return static_cast<float>(in[c]); });
    const float sum =
        group.sum(V, [&](int64_t c) { return fast_exp(static_cast<float>(in[c]) - top); });
    if (group.leader()) row_loss[row] = logf(sum) + (top - wanted);
    if (grad.ptr == nullptr) return;
    const float scale = factor(row);
    if (scale == 0) return fill(group, row, 0);
    T* to = grad[row];
    const float one_over_sum = 1.0f / sum;
    group.each(V, [&](int64_t c) {
      const float p = fast_exp(static_cast<float>(in[c]) - top) * one_over_sum;
      to[c] = static_cast<T>((c == t ? p - 1.0f : p) * scale);
    });
  }
};

}  // namespace

void cross_entropy(Exec& exec, const ObjectiveInputs& inputs, TensorView row_loss,
                   TensorView grad) {
  const ConstTensorView logits = inputs.logits;
  check_rank("cross_entropy", "logits", logits, 2);
  const int64_t R = logits.dim(0), V = logits.dim(1);
  check_shape("cross_entropy", "targets", inputs.targets, {R});
  check_shape("cross_entropy", "row_loss", row_loss, {R});
  if (inputs.loss_mask) check_shape("cross_entropy", "loss_mask", inputs.loss_mask, {R});
  if (grad) {
    check_shape("cross_entropy", "grad", grad, {R, V});
    check_shape("cross_entropy", "denominator", inputs.denominator, {1});
  }
  with_float(logits.dtype, "cross_entropy", [&](auto element) {
    using E = decltype(element);
    for_each_wide_row<512>(
        exec, R,
        CrossEntropy<E>{logits.rows<E>(), inputs.targets.data<int32_t>(),
                        inputs.loss_mask ? inputs.loss_mask.data<float>() : nullptr,
                        inputs.denominator ? inputs.denominator.data<float>() : nullptr,
                        exec.step(), row_loss.data<float>(), grad ? grad.rows<E>() : Rows<E>{}, V});
  });
}

}  // namespace moiety::ops
