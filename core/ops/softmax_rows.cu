// Softmax over short rows (experts), f32: one thread a row.
#include <cmath>
#include <string>

#include <moiety/ops.h>
#include <moiety/rows.cuh>

namespace moiety::ops {

namespace {

struct Softmax {
  Rows<const float> x;
  Rows<float> y;
  int64_t E;
  MOIETY_HD void operator()(int64_t t) const {
    float top = -INFINITY, sum = 0;
    for (int64_t e = 0; e < E; ++e) top = fmaxf(top, x[t][e]);
    for (int64_t e = 0; e < E; ++e) sum += y[t][e] = expf(x[t][e] - top);
    for (int64_t e = 0; e < E; ++e) y[t][e] /= sum;
  }
};

struct SoftmaxBackward {
  Rows<const float> y, dy;
  Rows<float> dx;
  int64_t E;
  MOIETY_HD void operator()(int64_t t) const {
    float dot = 0;
    for (int64_t e = 0; e < E; ++e) dot += y[t][e] * dy[t][e];
    for (int64_t e = 0; e < E; ++e) dx[t][e] = y[t][e] * (dy[t][e] - dot);
  }
};

}  // namespace

void softmax_rows(Exec& exec, ConstTensorView x, TensorView y) {
  for_each_row(exec, x.dim(0), Softmax{x.rows<float>(), y.rows<float>(), x.dim(1)});
}

void softmax_rows_backward(Exec& exec, ConstTensorView y, ConstTensorView dy, TensorView dx) {
  for_each_row(exec, y.dim(0),
               SoftmaxBackward{y.rows<float>(), dy.rows<float>(), dx.rows<float>(), y.dim(1)});
}

}  // namespace moiety::ops
