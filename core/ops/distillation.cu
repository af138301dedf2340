// Cross-entropy beside the divergence from a teacher (docs/kernels/distillation.md). A row of both
// logits is read in their own type; nothing of the vocabulary's width is stored.
#include <moiety/objective_ops.h>

#include "core/ops/dtype.h"
#include "core/ops/fast_exp.h"
#include "core/ops/loss_rows.cuh"

namespace moiety::ops {

namespace {

/// e^v - 1 - v for |v| < 1/2, without the cancellation.
MOIETY_HD inline float exp_minus_line(float v) {
  const float tail =
      1 + v * (1.0f / 4) * (1 + v * (1.0f / 5) * (1 + v * (1.0f / 6) * (1 + v * (1.0f / 7))));
  return 0.5f * v * v * (1 + v * (1.0f / 3) * tail);
}

/// p log(p / q) - p + q: sums to the divergence, since p and q sum to 1, and is never negative. An
/// error of the normalisers enters squared, so a small divergence keeps its digits.
MOIETY_HD inline float divergence_term(float log_p, float log_q) {
  const float p = fast_exp(log_p), q = fast_exp(log_q), v = log_q - log_p;
  const float near = p * exp_minus_line(v), far = q - p - p * v;
  const float term = v > -0.5f && v < 0.5f ? near : far;
  return p == 0 ? q : term;
}

/// log softmax(x / T) at c.
template <class T>
struct LogSoftmax {
  const T* x;
  float top, heat, log_sum;
  MOIETY_HD float operator()(int64_t c) const {
    return (static_cast<float>(x[c]) - top) * heat - log_sum;
  }
};

template <class G, class T>
MOIETY_HD float sum_of_exp(const G& group, const T* x, int64_t V, float top, float heat) {
  return group.sum(V, [&](int64_t c) { return fast_exp((static_cast<float>(x[c]) - top) * heat); });
}

template <class G, class T>
MOIETY_HD float top_of(const G& group, const T* x, int64_t V) {
  return group.max(V, [&](int64_t c) { return static_cast<float>(x[c]); });
}

template <class T>
struct Distill {
  Rows<const T> logits, teacher;
  LossRows<T> rows;
  SmoothTarget wish;
  float alpha, heat, height, slope;  // 1 / T, beta T^2, beta T
  float *row_loss, *row_ce, *row_kl;

  MOIETY_HD void write(int64_t row, float ce, float kl) const {
    row_ce[row] = ce;
    row_kl[row] = kl;
    row_loss[row] = alpha * ce + kl;
  }

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t row) const {
    const int64_t t = rows.target[row], V = rows.V;
    if (t < 0 || t >= V) {  // no loss; a target outside the vocabulary is loud
      const float value = t < 0 ? 0.0f : NAN;
      if (group.leader()) write(row, value, value);
      return rows.fill(group, row, value);
    }
    const T* in = logits[row];
    const auto wanted = static_cast<float>(in[t]);  // before the barriers: grad may lie over it
    const float top = top_of(group, in, V);
    const float sum = sum_of_exp(group, in, V, top, 1.0f);
    const float heated = heat == 1 ? sum : sum_of_exp(group, in, V, top, heat);
    LogSoftmax<T> p{teacher[row], top_of(group, teacher[row], V), heat, 0};
    p.log_sum = logf(sum_of_exp(group, p.x, V, p.top, heat));
    const LogSoftmax<T> q{in, top, heat, logf(heated)};
    const float kl = height * group.sum(V, [&](int64_t c) { return divergence_term(p(c), q(c)); });
    const float ce = wish.loss(group, in, V, logf(sum), top, wanted);
    if (group.leader()) write(row, ce, kl);
    if (rows.grad.ptr == nullptr) return;
    const float scale = rows.factor(row);
    if (scale == 0) return rows.fill(group, row, 0);
    T* to = rows.grad[row];
    const float one_over_sum = 1.0f / sum;
    group.each(V, [&](int64_t c) {
      const float x = fast_exp(static_cast<float>(in[c]) - top) * one_over_sum;
      const float from_label = alpha * (c == t ? x - wish.on : x - wish.off);
      to[c] = static_cast<T>((from_label + slope * (fast_exp(q(c)) - fast_exp(p(c)))) * scale);
    });
  }
};

}  // namespace

void distillation(Exec& exec, const ObjectiveInputs& inputs, const DistillationForm& form,
                  const DistillationRows& out, TensorView grad) {
  check_loss_inputs("distillation", inputs, grad);
  const ConstTensorView logits = inputs.logits, teacher = inputs.teacher_logits;
  const int64_t R = logits.dim(0), V = logits.dim(1);
  check_shape("distillation", "teacher_logits", teacher, {R, V});
  check_same_dtype("distillation", "teacher_logits", teacher, logits.dtype);
  check_shape("distillation", "loss", out.loss, {R});
  check_shape("distillation", "cross_entropy", out.cross_entropy, {R});
  check_shape("distillation", "divergence", out.divergence, {R});
  with_float(logits.dtype, "distillation", [&](auto element) {
    using E = decltype(element);
    const double T = form.temperature;
    for_each_wide_row<512>(
        exec, R,
        Distill<E>{logits.rows<E>(), teacher.rows<E>(), LossRows<E>(exec, inputs, grad),
                   SmoothTarget(form.smoothing, V), static_cast<float>(form.alpha),
                   static_cast<float>(1 / T), static_cast<float>(form.beta * T * T),
                   static_cast<float>(form.beta * T), out.loss.data<float>(),
                   out.cross_entropy.data<float>(), out.divergence.data<float>()});
  });
}

}  // namespace moiety::ops
