// One short functor each, for both devices.
#include "core/ops/scalars.h"

#include <moiety/rows.cuh>

namespace moiety::ops {

namespace {

struct FillScaled {
  const StepState* step;
  float value;
  float* out;
  MOIETY_HD void operator()(int64_t i) const { out[i] = value * step->loss_scale; }
};

struct AddQuotient {
  const float *x, *denominator;
  float* out;
  MOIETY_HD void operator()(int64_t) const {
    if (denominator[0] != 0) out[0] += x[0] / denominator[0];
  }
};

struct AddSum {
  const float* x;
  int64_t n;
  float* out;
  MOIETY_HD void operator()(int64_t) const {
    float sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += x[i];
    out[0] += sum;
  }
};

}  // namespace

void fill_scaled(Exec& exec, double value, TensorView out) {
  for_each_row(exec, out.numel(),
               FillScaled{exec.step(), static_cast<float>(value), out.data<float>()});
}

void add_quotient(Exec& exec, ConstTensorView x, ConstTensorView denominator, TensorView out) {
  for_each_row(exec, 1, AddQuotient{x.data<float>(), denominator.data<float>(), out.data<float>()});
}

void add_sum(Exec& exec, ConstTensorView x, TensorView out) {
  for_each_row(exec, 1, AddSum{x.data<float>(), x.numel(), out.data<float>()});
}

}  // namespace moiety::ops
