// Sums down the columns of each expert's slots, in a fixed order: a fixed number of pieces of its
// slots first, then the pieces.
#pragma once

#include <cstdint>

#include <moiety/rows.cuh>

#include "core/ops/row_cut.h"
#include "core/ops/segments.cuh"

namespace moiety::ops {

/// Slots [first, last) of piece `piece` of `pieces` of a segment.
struct SlotPiece {
  int64_t first, last;
  MOIETY_HD SlotPiece(int64_t start, int64_t count, int64_t piece, int64_t pieces) {
    const int64_t size = (count + pieces - 1) / pieces;
    first = start + (piece * size < count ? piece * size : count);
    last = start + ((piece + 1) * size < count ? (piece + 1) * size : count);
  }
};

/// One worker a (expert, piece, block of columns): segments in order, slots in order.
template <class V>
struct SumSlotPiece {
  V value;
  SegmentLookup segments;
  float* partial;  // [L, pieces, width]
  int64_t L, pieces;
  RowCut cut;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t at = cut.row(i), l = at / pieces, piece = at % pieces;
    const int64_t begin = cut.begin(i), end = cut.end(i);
    float* out = partial + at * cut.width;
    for (int64_t d = begin; d < end; ++d) out[d] = 0;
    for (int64_t g = l; g < segments.G; g += L) {
      const SlotPiece slots(segments.start[g], segments.count[g], piece, pieces);
      for (int64_t n = slots.first; n < slots.last; ++n) {
        for (int64_t d = begin; d < end; ++d) out[d] += value(n, d);
      }
    }
  }
};

struct AddSlotPieces {
  const float* partial;
  Rows<float> out;
  int64_t pieces, width;
  bool accumulate;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t l = i / width, d = i % width;
    float sum = accumulate ? out[l][d] : 0.0f;
    for (int64_t p = 0; p < pieces; ++p) sum += partial[(l * pieces + p) * width + d];
    out[l][d] = sum;
  }
};

/// out f32 [L, width] = (or +=) sum over each expert's slots of value(slot, column), a struct with
/// a MOIETY_HD call.
template <class V>
void slot_column_sums(Exec& exec, const Segments& segments, const V& value, TensorView out,
                      bool accumulate) {
  const int64_t L = out.dim(0), width = out.dim(1), pieces = exec.is_cuda() ? 32 : 1;
  RowCut cut(exec, width);
  if (exec.is_cuda()) cut.size = 1, cut.parts = width;  // neighbours in a row, thread by thread
  float* partial = exec.scratch(DType::kF32, {L, pieces, width}).data<float>();
  for_each_row(exec, L * pieces * cut.parts,
               SumSlotPiece<V>{value, lookup(segments), partial, L, pieces, cut});
  for_each_row(exec, L * width,
               AddSlotPieces{partial, out.rows<float>(), pieces, width, accumulate});
}

}  // namespace moiety::ops
