// Layer norm and RMS norm: the same two functors, with the mean taken off or not.
#include "core/ops/norm.h"

#include "core/ops/dtype.h"
#include "core/ops/elementwise.h"
#include "core/ops/norm_cuda.cuh"
#include "core/ops/shape_checks.h"
#include "core/ops/wide_column_sums.cuh"

namespace moiety::ops {

namespace {

/// The mean and 1 / deviation of each row as f32 [T, 2], or 1 / root mean square alone as [T, 1].
template <bool kCentered>
struct Statistics {
  float* at;
  MOIETY_HD float mean(int64_t row) const { return kCentered ? at[2 * row] : 0.0f; }
  MOIETY_HD float rstd(int64_t row) const { return kCentered ? at[2 * row + 1] : at[row]; }
  MOIETY_HD void store(int64_t row, float mean, float rstd) const {
    if (kCentered) at[2 * row] = mean;
    at[kCentered ? 2 * row + 1 : row] = rstd;
  }
};

template <class T, bool kCentered>
struct NormForward {
  Rows<const T> x;
  const float *weight, *bias;
  Rows<T> y;
  Statistics<kCentered> statistics;
  int64_t D;
  float eps;

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t row) const {
    const T* in = x[row];
    T* out = y[row];
    const float *w = weight, *b = bias;
    const auto n = static_cast<float>(D);
    float mean = 0;
    if (kCentered) {
      mean = group.sum(D, [&](int64_t c) { return static_cast<float>(in[c]); }) / n;
    }
    const float square = group.sum(D, [&](int64_t c) {
      const float d = static_cast<float>(in[c]) - mean;
      return d * d;
    });
    const float rstd = 1.0f / sqrtf(square / n + eps);
    if (group.leader()) statistics.store(row, mean, rstd);
    if (b != nullptr) {
      group.each(D, [&](int64_t c) {
        out[c] = static_cast<T>((static_cast<float>(in[c]) - mean) * rstd * w[c] + b[c]);
      });
    } else {
      group.each(D, [&](int64_t c) {
        out[c] = static_cast<T>((static_cast<float>(in[c]) - mean) * rstd * w[c]);
      });
    }
  }
};

/// With h = (x - mean) rstd and g = dy weight: dx = rstd (g - mean(g) - h mean(g h)).
template <class T, bool kCentered>
struct NormBackward {
  Rows<const T> x;
  const float* weight;
  Statistics<kCentered> statistics;
  Rows<const T> dy, residual;
  Rows<T> dx;
  int64_t D;

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t row) const {
    const T *in = x[row], *gradient = dy[row];
    const T* rest = residual.ptr != nullptr ? residual[row] : nullptr;
    T* out = dx[row];
    const float* w = weight;
    const float mean = statistics.mean(row), rstd = statistics.rstd(row);
    const auto n = static_cast<float>(D);
    float mean_g = 0;
    if (kCentered) {
      mean_g = group.sum(D, [&](int64_t c) { return static_cast<float>(gradient[c]) * w[c]; }) / n;
    }
    const float mean_gh = group.sum(D, [&](int64_t c) {
      const float h = (static_cast<float>(in[c]) - mean) * rstd;
      return static_cast<float>(gradient[c]) * w[c] * h;
    }) / n;
    const auto input_gradient = [&](int64_t c) {
      const float h = (static_cast<float>(in[c]) - mean) * rstd;
      return rstd * (static_cast<float>(gradient[c]) * w[c] - mean_g - h * mean_gh);
    };
    if (rest != nullptr) {
      group.each(D, [&](int64_t c) {
        out[c] = static_cast<T>(input_gradient(c) + static_cast<float>(rest[c]));
      });
    } else {
      group.each(D, [&](int64_t c) { out[c] = static_cast<T>(input_gradient(c)); });
    }
  }
};

template <class T, bool kCentered>
struct WeightTerm {
  Rows<const T> x, dy;
  Statistics<kCentered> statistics;
  MOIETY_HD float operator()(int64_t row, int64_t c) const {
    const float h = (static_cast<float>(x[row][c]) - statistics.mean(row)) * statistics.rstd(row);
    return static_cast<float>(dy[row][c]) * h;
  }
};

template <class T>
struct BiasTerm {
  Rows<const T> dy;
  MOIETY_HD float operator()(int64_t row, int64_t c) const {
    return static_cast<float>(dy[row][c]);
  }
};

template <bool kCentered>
Statistics<kCentered> writable(const ConstTensorView& statistics) {
  return {const_cast<float*>(statistics.data<float>())};  // backward only reads
}

/// With `added`: of sum = x + added.
template <bool kCentered>
void forward(Exec& exec, const char* op, double eps, ConstTensorView x, ConstTensorView added,
             ConstTensorView weight, ConstTensorView bias, TensorView sum, TensorView y,
             TensorView statistics) {
  check_rank(op, "x", x, 2);
  const int64_t T = x.dim(0), D = x.dim(1);
  check_shape(op, "y", y, {T, D});
  check_shape(op, "weight", weight, {D});
  if (bias) check_shape(op, "bias", bias, {D});
  if (added) {
    check_shape(op, "added", added, {T, D});
    check_shape(op, "sum", sum, {T, D});
  }
  check_shape(op, "statistics", statistics, {T, kCentered ? 2 : 1});
  with_float(x.dtype, op, [&](auto element) {
    using E = decltype(element);
    const float* b = bias ? bias.data<float>() : nullptr;
#if defined(__CUDACC__)
    const NormRows<E> rows{x.rows<E>(),
                           added ? added.rows<E>() : Rows<const E>{},
                           added ? sum.rows<E>() : Rows<E>{},
                           weight.data<float>(),
                           b,
                           y.rows<E>(),
                           statistics.data<float>(),
                           T,
                           D,
                           static_cast<float>(eps)};
    if (exec.is_cuda() && norm_in_registers<kCentered>(exec, rows)) return;
#endif
    if (added) dropout_add(exec, "no noise", 0, added, x, sum);
    const ConstTensorView in = added ? ConstTensorView(sum) : x;
    for_each_wide_row<32>(
        exec, T,
        NormForward<E, kCentered>{in.rows<E>(), weight.data<float>(), b, y.rows<E>(),
                                  Statistics<kCentered>{statistics.data<float>()}, D,
                                  static_cast<float>(eps)});
  });
}

template <bool kCentered>
void backward(Exec& exec, const char* op, ConstTensorView x, const Parameter& weight,
              const Parameter* bias, ConstTensorView statistics, ConstTensorView dy,
              ConstTensorView residual, TensorView dx) {
  check_rank(op, "x", x, 2);
  const int64_t T = x.dim(0), D = x.dim(1);
  check_shape(op, "dy", dy, {T, D});
  check_shape(op, "dx", dx, {T, D});
  check_shape(op, "weight", weight.value(), {D});
  check_shape(op, "statistics", statistics, {T, kCentered ? 2 : 1});
  if (residual) check_shape(op, "residual", residual, {T, D});
  with_float(x.dtype, op, [&](auto element) {
    using E = decltype(element);
    const auto saved = writable<kCentered>(statistics);
#if defined(__CUDACC__)
    const auto grad_of = [](const Parameter* p) {
      if (p == nullptr || p->grad_mode() == GradMode::kNone) return VectorGrad{};
      return VectorGrad{p->grad().data<float>(), p->grad_mode() == GradMode::kAccumulate};
    };
    const NormBackwardRows<E> rows{x.rows<E>(),
                                   dy.rows<E>(),
                                   residual ? residual.rows<E>() : Rows<const E>{},
                                   weight.value().data<float>(),
                                   statistics.data<float>(),
                                   dx.rows<E>(),
                                   T,
                                   D,
                                   0,
                                   nullptr};
    if (exec.is_cuda() &&
        norm_backward_in_registers<kCentered>(exec, rows, grad_of(&weight), grad_of(bias))) {
      return;
    }
#endif
    // The parameters first: dx may lie where dy did.
    if (weight.grad_mode() != GradMode::kNone) {
      wide_column_sums(exec, T, D, WeightTerm<E, kCentered>{x.rows<E>(), dy.rows<E>(), saved},
                       weight.grad().data<float>(), weight.grad_mode() == GradMode::kAccumulate);
    }
    if (bias != nullptr && bias->grad_mode() != GradMode::kNone) {
      wide_column_sums(exec, T, D, BiasTerm<E>{dy.rows<E>()}, bias->grad().data<float>(),
                       bias->grad_mode() == GradMode::kAccumulate);
    }
    for_each_wide_row<32>(exec, T,
                          NormBackward<E, kCentered>{
                              x.rows<E>(), weight.value().data<float>(), saved, dy.rows<E>(),
                              residual ? residual.rows<E>() : Rows<const E>{}, dx.rows<E>(), D});
  });
}

}  // namespace

void layer_norm(Exec& exec, double eps, ConstTensorView x, ConstTensorView weight,
                ConstTensorView bias, TensorView y, TensorView statistics) {
  forward<true>(exec, "layer_norm", eps, x, {}, weight, bias, {}, y, statistics);
}

void add_layer_norm(Exec& exec, double eps, ConstTensorView x, ConstTensorView added,
                    ConstTensorView weight, ConstTensorView bias, TensorView sum, TensorView y,
                    TensorView statistics) {
  forward<true>(exec, "add_layer_norm", eps, x, added, weight, bias, sum, y, statistics);
}

void layer_norm_backward(Exec& exec, ConstTensorView x, const Parameter& weight,
                         const Parameter* bias, ConstTensorView statistics, ConstTensorView dy,
                         ConstTensorView residual, TensorView dx) {
  backward<true>(exec, "layer_norm_backward", x, weight, bias, statistics, dy, residual, dx);
}

void rms_norm(Exec& exec, double eps, ConstTensorView x, ConstTensorView weight, TensorView y,
              TensorView statistics) {
  forward<false>(exec, "rms_norm", eps, x, {}, weight, {}, {}, y, statistics);
}

void add_rms_norm(Exec& exec, double eps, ConstTensorView x, ConstTensorView added,
                  ConstTensorView weight, TensorView sum, TensorView y, TensorView statistics) {
  forward<false>(exec, "add_rms_norm", eps, x, added, weight, {}, sum, y, statistics);
}

void rms_norm_backward(Exec& exec, ConstTensorView x, const Parameter& weight,
                       ConstTensorView statistics, ConstTensorView dy, ConstTensorView residual,
                       TensorView dx) {
  backward<false>(exec, "rms_norm_backward", x, weight, nullptr, statistics, dy, residual, dx);
}

}  // namespace moiety::ops
