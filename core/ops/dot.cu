// A dot product on the device, and a row added to all rows.
#include <moiety/ops.h>
#include <moiety/rows.cuh>

#include "core/ops/column_sums.cuh"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

struct Product {
  const float *a, *b;
  MOIETY_HD float operator()(int64_t i, int64_t) const { return a[i] * b[i]; }
};

struct Scale {
  float* x;
  double factor;
  MOIETY_HD void operator()(int64_t) const {
    *x = static_cast<float>(factor * static_cast<double>(*x));
  }
};

struct AddToRows {
  const float *v, *scalar;
  double factor;
  const uint8_t* mask;
  Rows<float> x;
  int64_t E;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    if (mask != nullptr && mask[t] == 0) return;
    const auto scale = static_cast<float>(factor * static_cast<double>(*scalar));
    float* out = x[t];
    const float* of_column = v;
    group.each(E, [&](int64_t e) { out[e] += scale * of_column[e]; });
  }
};

}  // namespace

void dot(Exec& exec, ConstTensorView a, ConstTensorView b, double factor, TensorView out) {
  column_sums(exec, a.numel(), 1, Product{a.data<float>(), b.data<float>()}, out.data<float>(),
              false);
  for_each_row(exec, 1, Scale{out.data<float>(), factor});
}

void add_to_rows(Exec& exec, ConstTensorView v, ConstTensorView scalar, double factor,
                 ConstTensorView mask, TensorView x) {
  for_each_wide_row<32>(
      exec, x.dim(0),
      AddToRows{v.data<float>(), scalar.data<float>(), factor,
                mask ? mask.data<uint8_t>() : nullptr, x.rows<float>(), x.dim(1)});
}

}  // namespace moiety::ops
