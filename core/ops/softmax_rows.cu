// Softmax over short rows (experts), f32.
#include <cmath>
#include <string>

#include <moiety/ops.h>

#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

struct Softmax {
  Rows<const float> x;
  Rows<float> y;
  int64_t E;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    const float* in = x[t];
    float* out = y[t];
    const float top = group.max(E, [&](int64_t e) { return in[e]; });
    const float sum = group.sum(E, [&](int64_t e) { return out[e] = expf(in[e] - top); });
    group.each(E, [&](int64_t e) { out[e] /= sum; });
  }
};

struct SoftmaxBackward {
  Rows<const float> y, dy;
  Rows<float> dx;
  int64_t E;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    const float *value = y[t], *gradient = dy[t];
    float* out = dx[t];
    const float dot = group.sum(E, [&](int64_t e) { return value[e] * gradient[e]; });
    group.each(E, [&](int64_t e) { out[e] = value[e] * (gradient[e] - dot); });
  }
};

}  // namespace

void softmax_rows(Exec& exec, ConstTensorView x, TensorView y) {
  for_each_wide_row<32>(exec, x.dim(0), Softmax{x.rows<float>(), y.rows<float>(), x.dim(1)});
}

void softmax_rows_backward(Exec& exec, ConstTensorView y, ConstTensorView dy, TensorView dx) {
  for_each_wide_row<32>(
      exec, y.dim(0),
      SoftmaxBackward{y.rows<float>(), dy.rows<float>(), dx.rows<float>(), y.dim(1)});
}

}  // namespace moiety::ops
