// Softmax cross-entropy with its gradient in place (docs/kernels/cross_entropy.md).
#include <moiety/objective_ops.h>
#include <moiety/ops.h>

#include "core/ops/cross_entropy_cuda.cuh"
#include "core/ops/dtype.h"
#include "core/ops/fast_exp.h"
#include "core/ops/loss_rows.cuh"

namespace moiety::ops {

namespace {

template <class T>
struct CrossEntropy {
  Rows<const T> logits;
  LossRows<T> rows;
  SmoothTarget wish;
  float* row_loss;

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t row) const {
    const int64_t t = rows.target[row], V = rows.V;
    if (t < 0 || t >= V) {  // no loss; a target outside the vocabulary is loud
      const float value = t < 0 ? 0.0f : NAN;
      if (group.leader()) row_loss[row] = value;
      return rows.fill(group, row, value);
    }
    const T* in = logits[row];
    const auto wanted = static_cast<float>(in[t]);  // before the barriers: grad may lie over it
    const float top = group.max(V, [&](int64_t c) { return static_cast<float>(in[c]); });
    const float sum =
        group.sum(V, [&](int64_t c) { return fast_exp(static_cast<float>(in[c]) - top); });
    const float loss = wish.loss(group, in, V, logf(sum), top, wanted);
    if (group.leader()) row_loss[row] = loss;
    if (rows.grad.ptr == nullptr) return;
    const float scale = rows.factor(row);
    if (scale == 0) return rows.fill(group, row, 0);
    T* to = rows.grad[row];
    const float one_over_sum = 1.0f / sum;
    group.each(V, [&](int64_t c) {
      const float p = fast_exp(static_cast<float>(in[c]) - top) * one_over_sum;
      to[c] = static_cast<T>((c == t ? p - wish.on : p - wish.off) * scale);
    });
  }
};

}  // namespace

void smoothed_cross_entropy(Exec& exec, const ObjectiveInputs& inputs, double smoothing,
                            TensorView row_loss, TensorView grad) {
  check_loss_inputs("cross_entropy", inputs, grad);
  const ConstTensorView logits = inputs.logits;
  const int64_t R = logits.dim(0), V = logits.dim(1);
  check_shape("cross_entropy", "row_loss", row_loss, {R});
  with_float(logits.dtype, "cross_entropy", [&](auto element) {
    using E = decltype(element);
    const LossRows<E> rows(exec, inputs, grad);
    const SmoothTarget wish(smoothing, V);
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      return cross_entropy_cuda(exec, R, logits.rows<E>(), rows, wish, row_loss.data<float>());
    }
#endif
    for_each_wide_row<512>(exec, R,
                           CrossEntropy<E>{logits.rows<E>(), rows, wish, row_loss.data<float>()});
  });
}

void cross_entropy(Exec& exec, const ObjectiveInputs& inputs, TensorView row_loss,
                   TensorView grad) {
  smoothed_cross_entropy(exec, inputs, 0, row_loss, grad);
}

}  // namespace moiety::ops
