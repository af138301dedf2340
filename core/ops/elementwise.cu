// Bias, residual, dropout.
#include "core/ops/elementwise.h"

#include <string>

#include "core/ops/dtype.h"
#include "core/ops/elementwise_cuda.cuh"
#include "core/ops/shape_checks.h"
#include "core/ops/wide_column_sums.cuh"

namespace moiety::ops {

namespace {

template <class T>
struct AddBias {
  const float* bias;
  Rows<T> x;
  int64_t D;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t row) const {
    T* at = x[row];
    const float* b = bias;
    group.each(D, [&](int64_t c) { at[c] = static_cast<T>(static_cast<float>(at[c]) + b[c]); });
  }
};

template <class T>
struct Element {
  Rows<const T> x;
  MOIETY_HD float operator()(int64_t row, int64_t c) const { return static_cast<float>(x[row][c]); }
};

/// out = residual + mask x / (1 - rate), the noise drawn four columns at a time.
template <class T>
struct DropoutAdd {
  Rng rng;
  float rate, factor;
  Rows<const T> x, residual;
  Rows<T> out;
  int64_t D;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t row) const {
    const T* in = x[row];
    const T* rest = residual.ptr != nullptr ? residual[row] : nullptr;
    T* to = out[row];
    group.each((D + 3) / 4, [&](int64_t block) {
      float noise[4];
      rng.uniform4(row, block, noise);
      for (int64_t i = 0; i < 4; ++i) {
        const int64_t c = 4 * block + i;
        if (c >= D) break;
        const float kept = noise[i] < rate ? 0.0f : static_cast<float>(in[c]) * factor;
        to[c] = static_cast<T>(rest != nullptr ? static_cast<float>(rest[c]) + kept : kept);
      }
    });
  }
};

template <class T>
struct Sum {
  Rows<const T> x, residual;
  Rows<T> out;
  int64_t D;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t row) const {
    const T* in = x[row];
    T* to = out[row];
    if (residual.ptr == nullptr) {
      group.each(D, [&](int64_t c) { to[c] = in[c]; });
      return;
    }
    const T* rest = residual[row];
    group.each(D, [&](int64_t c) {
      to[c] = static_cast<T>(static_cast<float>(rest[c]) + static_cast<float>(in[c]));
    });
  }
};

#if defined(__CUDACC__)
template <class T>
void bias_grad_by_pieces(Exec& exec, Rows<const T> dy, int64_t rows, int64_t columns, float* out,
                         bool accumulate) {
  auto* stream = static_cast<cudaStream_t>(exec.stream());
  const PlainPieces pieces(rows);
  const int64_t count = pieces.count();
  float* partial = exec.scratch(DType::kF32, {count, columns}).data<float>();
  if (count > 0 && packed(dy, columns)) {
    constexpr int kWidth = kPackOf<T>;
    piece_sums<kWidth, 1>(stream, pieces, count, columns, ElementSums<T, kWidth>{dy}, partial);
  } else if (count > 0) {
    piece_sums<1, 1>(stream, pieces, count, columns, ElementSums<T, 1>{dy}, partial);
  }
  add_pieces(stream, partial, columns, count, columns, out, accumulate);
}

template <class E>
void sum_by_packs(Exec& exec, Rows<const E> x, Rows<const E> residual, Rows<E> out, int64_t T,
                  int64_t D) {
  const bool wide = packed(x, D) && packed(residual, D) && packed(out, D);
  with_pack<E>(wide, [&](auto width) {
    for_each_pack(exec, AllRows{}, T, D, SumPack<E, width>{x, residual, out});
  });
}
#endif

}  // namespace

void add_bias(Exec& exec, ConstTensorView bias, TensorView x) {
  check_rank("add_bias", "x", x, 2);
  check_shape("add_bias", "bias", bias, {x.dim(1)});
  with_float(x.dtype, "add_bias", [&](auto element) {
    using E = decltype(element);
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      const int64_t D = x.dim(1);
      const float* b = bias.data<float>();
      return with_pack<E>(packed(x.rows<E>(), D) && packed(b, D), [&](auto width) {
        for_each_pack(exec, AllRows{}, x.dim(0), D, AddBiasPack<E, width>{{b, 0}, 1, x.rows<E>()});
      });
    }
#endif
    for_each_wide_row<32>(exec, x.dim(0), AddBias<E>{bias.data<float>(), x.rows<E>(), x.dim(1)});
  });
}

void bias_grad(Exec& exec, ConstTensorView dy, const Parameter& bias) {
  if (bias.grad_mode() == GradMode::kNone) return;
  check_rank("bias_grad", "dy", dy, 2);
  check_shape("bias_grad", "bias", bias.grad(), {dy.dim(1)});
  with_float(dy.dtype, "bias_grad", [&](auto element) {
    using E = decltype(element);
    const bool accumulate = bias.grad_mode() == GradMode::kAccumulate;
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      return bias_grad_by_pieces(exec, dy.rows<E>(), dy.dim(0), dy.dim(1),
                                 bias.grad().data<float>(), accumulate);
    }
#endif
    wide_column_sums(exec, dy.dim(0), dy.dim(1), Element<E>{dy.rows<E>()},
                     bias.grad().data<float>(), accumulate);
  });
}

void copy_rows(Exec& exec, ConstTensorView from, TensorView to) {
  check_rank("copy_rows", "from", from, 2);
  check_shape("copy_rows", "to", to, {from.dim(0), from.dim(1)});
  check_same_dtype("copy_rows", "to", to, from.dtype);
  with_float(from.dtype, "copy_rows", [&](auto element) {
    using E = decltype(element);
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      return sum_by_packs<E>(exec, from.rows<E>(), {}, to.rows<E>(), from.dim(0), from.dim(1));
    }
#endif
    for_each_wide_row<32>(exec, from.dim(0), Sum<E>{from.rows<E>(), {}, to.rows<E>(), from.dim(1)});
  });
}

void dropout_add(Exec& exec, RngKey key, double rate, ConstTensorView x, ConstTensorView residual,
                 TensorView out) {
  if (rate < 0 || rate >= 1) {
    throw Error("dropout: rate " + std::to_string(rate) + " is not in [0, 1)");
  }
  check_rank("dropout_add", "x", x, 2);
  const int64_t T = x.dim(0), D = x.dim(1);
  check_shape("dropout_add", "out", out, {T, D});
  if (residual) check_shape("dropout_add", "residual", residual, {T, D});
  with_float(x.dtype, "dropout_add", [&](auto element) {
    using E = decltype(element);
    const Rows<const E> rest = residual ? residual.rows<E>() : Rows<const E>{};
#if defined(__CUDACC__)
    if (exec.is_cuda() && rate == 0) {
      return sum_by_packs<E>(exec, x.rows<E>(), rest, out.rows<E>(), T, D);
    }
    if (exec.is_cuda() && packed(x.rows<E>(), D) && packed(rest, D) && packed(out.rows<E>(), D)) {
      return for_each_pack(exec, AllRows{}, T, D,
                           DropoutPack<E, kPackOf<E>>{{x.rows<E>(), rest, out.rows<E>()},
                                                      exec.rng(key),
                                                      static_cast<float>(rate),
                                                      static_cast<float>(1 / (1 - rate))});
    }
#endif
    if (rate == 0) {
      for_each_wide_row<32>(exec, T, Sum<E>{x.rows<E>(), rest, out.rows<E>(), D});
    } else {
      for_each_wide_row<32>(
          exec, T,
          DropoutAdd<E>{exec.rng(key), static_cast<float>(rate), static_cast<float>(1 / (1 - rate)),
                        x.rows<E>(), rest, out.rows<E>(), D});
    }
  });
}

void dropout_backward(Exec& exec, RngKey key, double rate, ConstTensorView dy, TensorView dx) {
  dropout_add(exec, key, rate, dy, {}, dx);
}

}  // namespace moiety::ops
