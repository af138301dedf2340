// RMS norm of groups: one row of work is one group of one token.
#include "core/ops/group_norm.h"

#include "core/ops/dtype.h"
#include "core/ops/shape_checks.h"
#include "core/ops/wide_column_sums.cuh"

namespace moiety::ops {

namespace {

/// Group g of row t of a matrix, as piece t * groups + g.
template <class T>
struct Groups {
  Rows<T> rows;
  int64_t groups, D;
  MOIETY_HD T* operator[](int64_t piece) const { return rows[piece / groups] + piece % groups * D; }
};

template <class T>
struct GroupForward {
  Groups<const T> x;
  const float* weight;
  Groups<T> y;
  float* statistics;
  float eps;

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t piece) const {
    const T* in = x[piece];
    T* out = y[piece];
    const float* w = weight;
    const float square = group.sum(x.D, [&](int64_t c) {
      const auto v = static_cast<float>(in[c]);
      return v * v;
    });
    const float rstd = 1.0f / sqrtf(square / static_cast<float>(x.D) + eps);
    if (group.leader()) statistics[piece] = rstd;
    group.each(
        x.D, [&](int64_t c) { out[c] = static_cast<T>(static_cast<float>(in[c]) * rstd * w[c]); });
  }
};

/// With h = x rstd and g = dy weight: dx = rstd (g - h mean(g h)).
template <class T>
struct GroupBackward {
  Groups<const T> x;
  const float *weight, *statistics;
  Groups<const T> dy;
  Groups<T> dx;

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t piece) const {
    const T *in = x[piece], *gradient = dy[piece];
    T* out = dx[piece];
    const float* w = weight;
    const float rstd = statistics[piece];
    const float mean = group.sum(x.D, [&](int64_t c) {
      return static_cast<float>(gradient[c]) * w[c] * (static_cast<float>(in[c]) * rstd);
    }) / static_cast<float>(x.D);
    group.each(x.D, [&](int64_t c) {
      const float h = static_cast<float>(in[c]) * rstd;
      out[c] = static_cast<T>(rstd * (static_cast<float>(gradient[c]) * w[c] - h * mean));
    });
  }
};

template <class T>
struct GroupWeightTerm {
  Groups<const T> x, dy;
  const float* statistics;
  MOIETY_HD float operator()(int64_t piece, int64_t c) const {
    const float h = static_cast<float>(x[piece][c]) * statistics[piece];
    return static_cast<float>(dy[piece][c]) * h;
  }
};

/// D, once the shapes are known to fit.
int64_t checked(const char* op, int64_t groups, ConstTensorView x, ConstTensorView weight,
                ConstTensorView statistics) {
  check_rank(op, "x", x, 2);
  const int64_t D = weight.numel();
  check_shape(op, "x", x, {x.dim(0), groups * D});
  check_shape(op, "weight", weight, {D});
  check_shape(op, "statistics", statistics, {x.dim(0), groups});
  return D;
}

}  // namespace

void group_rms_norm(Exec& exec, double eps, int64_t groups, ConstTensorView x,
                    ConstTensorView weight, TensorView y, TensorView statistics) {
  const char* op = "group_rms_norm";
  const int64_t D = checked(op, groups, x, weight, statistics);
  check_shape(op, "y", y, {x.dim(0), x.dim(1)});
  with_float(x.dtype, op, [&](auto element) {
    using E = decltype(element);
    for_each_wide_row<32>(exec, x.dim(0) * groups,
                          GroupForward<E>{{x.rows<E>(), groups, D},
                                          weight.data<float>(),
                                          {y.rows<E>(), groups, D},
                                          statistics.data<float>(),
                                          static_cast<float>(eps)});
  });
}

void group_rms_norm_backward(Exec& exec, int64_t groups, ConstTensorView x, const Parameter& weight,
                             ConstTensorView statistics, ConstTensorView dy, TensorView dx) {
  const char* op = "group_rms_norm_backward";
  const int64_t D = checked(op, groups, x, weight.value(), statistics);
  check_shape(op, "dy", dy, {x.dim(0), x.dim(1)});
  check_shape(op, "dx", dx, {x.dim(0), x.dim(1)});
  const float* rstd = statistics.data<float>();
  with_float(x.dtype, op, [&](auto element) {
    using E = decltype(element);
    const Groups<const E> in{x.rows<E>(), groups, D}, gradient{dy.rows<E>(), groups, D};
    // The weight first: dx may lie where dy did.
    if (weight.grad_mode() != GradMode::kNone) {
      wide_column_sums(exec, x.dim(0) * groups, D, GroupWeightTerm<E>{in, gradient, rstd},
                       weight.grad().data<float>(), weight.grad_mode() == GradMode::kAccumulate);
    }
    for_each_wide_row<32>(
        exec, x.dim(0) * groups,
        GroupBackward<E>{
            in, weight.value().data<float>(), rstd, gradient, {dx.rows<E>(), groups, D}});
  });
}

}  // namespace moiety::ops
