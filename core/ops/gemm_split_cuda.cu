#include "core/ops/gemm_split_cuda.h"

#include <algorithm>
#include <array>

#include <moiety/float16.h>
#include <moiety/rows.cuh>

#include "core/device/exec_impl.h"
#include "core/ops/dtype.h"
#include "core/ops/gemm_backends.h"

namespace moiety::ops::cuda {

namespace {

constexpr int kPieces = 3;
/// Which piece of a number, 0 the largest, stands in each of three places.
using Order = std::array<int, kPieces>;

struct Split {
  Rows<const float> from;
  Rows<BFloat16> to;  // [rows, 3 * width]
  int64_t columns, width;
  int order[kPieces];
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t row = i / width, column = i % width;
    const float x = column < columns ? from[row][column] : 0.f;
    BFloat16 piece[kPieces];
    float rest = x;
    for (BFloat16& p : piece) {
      p = BFloat16(rest);
      rest -= static_cast<float>(p);
    }
    for (int place = 0; place < kPieces; ++place) {
      to[row][place * width + column] = piece[order[place]];
    }
  }
};

/// The pieces of m [R, C] side by side: [R, 3 * C], C rounded up to a multiple of 8 with zeros.
TensorView split(Exec& exec, ConstTensorView m, const Order& order) {
  const int64_t width = (m.dim(1) + 7) / 8 * 8;
  const TensorView to = exec.scratch(DType::kBF16, {m.dim(0), kPieces * width});
  Split pieces{m.rows<float>(), to.rows<BFloat16>(), m.dim(1), width, {}};
  std::copy(order.begin(), order.end(), pieces.order);
  for_each_row(exec, m.dim(0) * width, pieces);
  return to;
}

/// to = (or +=) from, whose rows may be strided.
template <class From, class To>
struct Convert {
  Rows<const From> from;
  Rows<To> to;
  int64_t columns;
  bool add;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t row = i / columns, column = i % columns;
    const auto x = static_cast<float>(from[row][column]);
    To& at = to[row][column];
    at = To(add ? static_cast<float>(at) + x : x);
  }
};

ConstTensorView widened(Exec& exec, ConstTensorView m) {
  if (m.dtype == DType::kF32) return m;
  const TensorView wide = exec.scratch(DType::kF32, {m.dim(0), m.dim(1)});
  with_float(m.dtype, "gemm", [&](auto element) {
    using T = decltype(element);
    for_each_row(exec, m.numel(),
                 Convert<T, float>{m.rows<T>(), wide.rows<float>(), m.dim(1), false});
  });
  return wide;
}

/// Three products, each with one piece of the f32 operand.
void multiply_pieces(Exec& exec, ConstTensorView a, ConstTensorView b, TensorView c,
                     GemmForm form) {
  const bool split_a = a.dtype == DType::kF32;
  const ConstTensorView whole = split_a ? a : b;
  const TensorView pieces = split(exec, whole, {2, 1, 0});
  const int64_t width = pieces.dim(1) / kPieces;
  for (int place = 0; place < kPieces; ++place, form.accumulate = true) {
    const ConstTensorView piece = pieces.slice(1, place * width, whole.dim(1));
    cuda::gemm(exec, split_a ? piece : a, split_a ? b : piece, c, form);
  }
}

/// Both operands in f32, and c from f32 sums.
void multiply_widened(Exec& exec, ConstTensorView a, ConstTensorView b, TensorView c,
                      const GemmForm& form) {
  const ConstTensorView wide_a = widened(exec, a), wide_b = widened(exec, b);
  if (c.dtype == DType::kF32) return cuda::gemm(exec, wide_a, wide_b, c, form);
  const TensorView sums = exec.scratch(DType::kF32, {c.dim(0), c.dim(1)});
  GemmForm fresh = form;
  fresh.accumulate = false;
  cuda::gemm(exec, wide_a, wide_b, sums, fresh);
  with_float(c.dtype, "gemm", [&](auto element) {
    using T = decltype(element);
    for_each_row(exec, c.numel(),
                 Convert<float, T>{ConstTensorView(sums).rows<float>(), c.rows<T>(), c.dim(1),
                                   form.accumulate});
  });
}

}  // namespace

bool operands_differ(ConstTensorView a, ConstTensorView b, ConstTensorView c) {
  return a.dtype != b.dtype || (a.dtype == DType::kF32 && c.dtype != DType::kF32);
}

void split_gemm(Exec& exec, ConstTensorView a, ConstTensorView b, TensorView c,
                const GemmForm& form) {
  const bool one_is_bf16 = a.dtype == DType::kBF16 || b.dtype == DType::kBF16;
  if (one_is_bf16 && !form.bias) return multiply_pieces(exec, a, b, c, form);
  const bool rows = !form.transpose_a && form.transpose_b;  // both lie along the sum
  if (c.dtype == DType::kBF16 && rows && !form.bias) {
    // (a0 + a1) (b0 + b1) without a1 b1, as one product over places: a0 b0 + a0 b1 + a1 b0.
    return cuda::gemm(exec, split(exec, a, {0, 0, 1}), split(exec, b, {0, 1, 0}), c, form);
  }
  multiply_widened(exec, a, b, c, form);
}

}  // namespace moiety::ops::cuda
