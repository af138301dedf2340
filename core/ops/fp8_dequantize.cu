// 8-bit matrices as ordinary ones: one functor for both devices.
#include <moiety/rows.cuh>

#include "core/ops/dtype.h"
#include "core/ops/fp8_scale.cuh"

namespace moiety::ops {

namespace {

/// Worker i: `span` neighbours of a row, all under one scale.
template <class Format, class T>
struct Dequantize {
  const uint8_t* values;
  const float* scales;
  T* out;
  int64_t rows, depth, span, spans;                   // spans of a row
  int64_t rows_of_scale;                              // 1, or kFp8Block
  int64_t matrix_stride, outer_stride, inner_stride;  // of the scales
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t all_rows = i / spans, begin = i % spans * span;
    const int64_t end = begin + span < depth ? begin + span : depth;
    const int64_t matrix = all_rows / rows, row = all_rows % rows;
    const float scale = scales[matrix * matrix_stride + row / rows_of_scale * outer_stride +
                               begin / kFp8Block * inner_stride];
    for (int64_t k = begin; k < end; ++k) {
      const int64_t at = all_rows * depth + k;
      out[at] = T(float_of_fp8<Format>(values[at]) * scale);
    }
  }
};

}  // namespace

void dequantize(Exec& exec, const Fp8Matrix& m, TensorView out) {
  if (out.shape != m.values.shape || out.rank != m.values.rank) {
    throw Error("dequantize: out is not shaped as the matrix");
  }
  if (out.numel() == 0) return;
  const bool pieces = m.scaling == Fp8Scaling::kPieces;
  const int64_t span = exec.is_cuda() ? 8 : kFp8Block, depth = m.depth();
  const int64_t spans = (depth + span - 1) / span, all_rows = out.numel() / depth;
  const TensorView& s = m.scales;
  with_fp8(m.format(), "dequantize", [&](auto format) {
    with_float(out.dtype, "dequantize", [&](auto element) {
      using T = decltype(element);
      for_each_row(exec, all_rows * spans,
                   Dequantize<decltype(format), T>{
                       static_cast<const uint8_t*>(m.values.ptr), static_cast<const float*>(s.ptr),
                       out.data<T>(), m.rows(), depth, span, spans, pieces ? 1 : kFp8Block,
                       s.rank == 3 ? s.stride[0] : 0, s.stride[static_cast<size_t>(s.rank - 2)],
                       s.stride[static_cast<size_t>(s.rank - 1)]});
    });
  });
}

}  // namespace moiety::ops
