// What losses over rows of logits share: which rows count, and how their gradient is scaled.
#pragma once

#include <cmath>
#include <cstdint>

#include <moiety/objective.h>

#include "core/ops/shape_checks.h"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

template <class T>
struct LossRows {
  const int32_t* target;
  const float *mask, *denominator;  // mask may be null = 1
  const StepState* step;
  Rows<T> grad;  // empty in evaluation
  int64_t V;

  LossRows(const Exec& exec, const ObjectiveInputs& in, TensorView gradient)
      : target(in.targets.data<int32_t>()),
        mask(in.loss_mask ? in.loss_mask.data<float>() : nullptr),
        denominator(in.denominator ? in.denominator.data<float>() : nullptr),
        step(exec.step()),
        grad(gradient ? gradient.rows<T>() : Rows<T>{}),
        V(in.logits.dim(1)) {}

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
};

/// The target of a smoothed cross-entropy: `on` at the label, `off` elsewhere.
struct SmoothTarget {
  float smoothing, on, off;
  SmoothTarget(double s, int64_t V)
      : smoothing(static_cast<float>(s)),
        on(static_cast<float>(1 - s + s / static_cast<double>(V))),
        off(static_cast<float>(s / static_cast<double>(V))) {}

  /// From log sum e^(x - top), top and the label's logit. `in` is read for the mean alone.
  template <class G, class T>
  MOIETY_HD float loss(const G& group, const T* in, int64_t V, float log_sum, float top,
                       float wanted) const {
    if (smoothing == 0) return log_sum + (top - wanted);
    const float below = group.sum(V, [&](int64_t c) { return top - static_cast<float>(in[c]); }) /
                        static_cast<float>(V);
    return log_sum + (1 - smoothing) * (top - wanted) + smoothing * below;
  }
};

/// Shapes of what an objective gets; `op` names the caller.
inline void check_loss_inputs(const char* op, const ObjectiveInputs& in, TensorView grad) {
  check_rank(op, "logits", in.logits, 2);
  const int64_t R = in.logits.dim(0), V = in.logits.dim(1);
  check_shape(op, "targets", in.targets, {R});
  if (in.loss_mask) check_shape(op, "loss_mask", in.loss_mask, {R});
  if (!grad) return;
  check_shape(op, "grad", grad, {R, V});
  check_shape(op, "denominator", in.denominator, {1});
}

}  // namespace moiety::ops
