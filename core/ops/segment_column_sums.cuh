// Column sums of each expert's slots on a GPU: pieces of its segments, then the pieces, in an order
// that depends on the counts alone.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moiety/exec.h>

#include "core/ops/row_pieces.cuh"

#if defined(__CUDACC__)

namespace moiety::ops {

/// Row l of out [L, columns] = (or +=) sum over the slots of segments l, l + L, ... of a term.
/// `term(std::integral_constant<int, W>)` yields one for W neighbouring columns (see piece_sums):
/// W is `width`, or 1 where memory is not aligned for that (`wide` false). `slots` bounds them all.
template <int width, class MakeTerm>
void segment_column_sums(Exec& exec, const SegmentLookup& segments, int64_t slots, bool wide,
                         const MakeTerm& term, Rows<float> out, int64_t L, int64_t columns,
                         bool accumulate) {
  auto* stream = static_cast<cudaStream_t>(exec.stream());
  const int64_t most = most_pieces(slots, segments.G);
  int32_t* first = exec.scratch(DType::kI32, {segments.G + 1}).data<int32_t>();
  float* partial = exec.scratch(DType::kF32, {most, columns}).data<float>();
  first_pieces(stream, segments, first);
  const SegmentPieces pieces{segments, first};
  if (wide) {
    piece_sums<width, 1>(stream, pieces, most, columns, term(std::integral_constant<int, width>{}),
                         partial);
  } else {
    piece_sums<1, 1>(stream, pieces, most, columns, term(std::integral_constant<int, 1>{}),
                     partial);
  }
  add_segment_pieces(stream, partial, first, segments.G, L, columns, out, accumulate);
}

}  // namespace moiety::ops

#endif
