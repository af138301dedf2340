// Functors of a few elements each, for both devices.
#include "core/ops/branch.h"

#include <moiety/rows.cuh>

#include "core/ops/dtype.h"
#include "core/ops/slot_rows_cuda.cuh"

namespace moiety::ops {

namespace {

constexpr int64_t kWidth = 8;  // elements of a row that one functor call handles

template <class T>
struct Mix {
  Rows<const T> a, b;
  const float *wa, *wb;
  Rows<T> out;
  int64_t columns, pieces;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t t = i / pieces, begin = i % pieces * kWidth;
    const int64_t end = begin + kWidth < columns ? begin + kWidth : columns;
    for (int64_t d = begin; d < end; ++d) {
      float sum = static_cast<float>(a[t][d]) * (wa != nullptr ? wa[t] : 1.f);
      if (b.ptr != nullptr) sum += static_cast<float>(b[t][d]) * (wb != nullptr ? wb[t] : 1.f);
      out[t][d] = T(sum);
    }
  }
};

template <class T>
struct Jitter {
  Rows<const T> x;
  Rows<float> out;
  Rng rng;
  float eps;
  int64_t columns, pieces;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t t = i / pieces, begin = i % pieces * kWidth;
    const int64_t end = begin + kWidth < columns ? begin + kWidth : columns;
    for (int64_t d = begin; d < end; ++d) {
      const float factor = 1 - eps + 2 * eps * rng.uniform(t, d);
      out[t][d] = static_cast<float>(x[t][d]) * factor;
    }
  }
};

struct PairSoftmax {
  const float* logits;
  float *first, *second;
  MOIETY_HD void operator()(int64_t t) const {
    const float p = 1 / (1 + expf(logits[2 * t + 1] - logits[2 * t]));
    first[t] = p;
    second[t] = 1 / (1 + expf(logits[2 * t] - logits[2 * t + 1]));
  }
};

struct PairSoftmaxBackward {
  const float *first, *second, *dfirst, *dsecond;
  float* dlogits;
  MOIETY_HD void operator()(int64_t t) const {
    const float d = first[t] * second[t] * (dfirst[t] - dsecond[t]);
    dlogits[2 * t] = d, dlogits[2 * t + 1] = -d;
  }
};

struct Sigmoid {
  const float* x;
  float* y;
  MOIETY_HD void operator()(int64_t i) const { y[i] = 1 / (1 + expf(-x[i])); }
};

struct SigmoidBackward {
  const float *y, *dy;
  float* dx;
  MOIETY_HD void operator()(int64_t i) const { dx[i] = dy[i] * y[i] * (1 - y[i]); }
};

int64_t pieces_of(int64_t columns) { return (columns + kWidth - 1) / kWidth; }

}  // namespace

void mix_rows(Exec& exec, ConstTensorView a, ConstTensorView wa, ConstTensorView b,
              ConstTensorView wb, TensorView out) {
  const int64_t columns = out.dim(1), pieces = pieces_of(columns);
  with_float(out.dtype, "mix_rows", [&](auto like) {
    using T = decltype(like);
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      const Rows<const T> first = a.rows<T>(), second = b ? b.rows<T>() : Rows<const T>{};
      const bool wide =
          packed(first, columns) && packed(second, columns) && packed(out.rows<T>(), columns);
      return with_pack<T>(wide, [&](auto width) {
        for_each_pack(exec, AllRows{}, out.dim(0), columns,
                      MixPack<T, width>{first, second, wa ? wa.data<float>() : nullptr,
                                        wb ? wb.data<float>() : nullptr, out.rows<T>()});
      });
    }
#endif
    for_each_row(
        exec, out.dim(0) * pieces,
        Mix<T>{a.rows<T>(), b ? b.rows<T>() : Rows<const T>{}, wa ? wa.data<float>() : nullptr,
               wb ? wb.data<float>() : nullptr, out.rows<T>(), columns, pieces});
  });
}

void jitter(Exec& exec, double eps, ConstTensorView x, TensorView out) {
  const int64_t columns = out.dim(1), pieces = pieces_of(columns);
  with_float(x.dtype, "jitter", [&](auto like) {
    using T = decltype(like);
    for_each_row(exec, out.dim(0) * pieces,
                 Jitter<T>{x.rows<T>(), out.rows<float>(), exec.rng("jitter"),
                           static_cast<float>(eps), columns, pieces});
  });
}

void pair_softmax(Exec& exec, ConstTensorView logits, TensorView first, TensorView second) {
  for_each_row(exec, first.numel(),
               PairSoftmax{logits.data<float>(), first.data<float>(), second.data<float>()});
}

void pair_softmax_backward(Exec& exec, ConstTensorView first, ConstTensorView second,
                           ConstTensorView dfirst, ConstTensorView dsecond, TensorView dlogits) {
  for_each_row(exec, first.numel(),
               PairSoftmaxBackward{first.data<float>(), second.data<float>(), dfirst.data<float>(),
                                   dsecond.data<float>(), dlogits.data<float>()});
}

void sigmoid(Exec& exec, ConstTensorView x, TensorView y) {
  for_each_row(exec, y.numel(), Sigmoid{x.data<float>(), y.data<float>()});
}

void sigmoid_backward(Exec& exec, ConstTensorView y, ConstTensorView dy, TensorView dx) {
  for_each_row(exec, dx.numel(),
               SigmoidBackward{y.data<float>(), dy.data<float>(), dx.data<float>()});
}

}  // namespace moiety::ops
