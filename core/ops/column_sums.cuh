// Sums down the columns of a tall matrix in a fixed order: pieces of 128 rows first, then the
// pieces.
#pragma once

#include <cstdint>

#include <moiety/rows.cuh>

namespace moiety::ops {

inline constexpr int64_t kColumnPiece = 128;

template <class V>
struct PieceSums {
  V value;
  float* partial;  // [pieces, E]
  int64_t T, E;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t piece = i / E, e = i % E, begin = piece * kColumnPiece;
    const int64_t end = begin + kColumnPiece < T ? begin + kColumnPiece : T;
    double sum = 0;
    for (int64_t t = begin; t < end; ++t) sum += static_cast<double>(value(t, e));
    partial[i] = static_cast<float>(sum);
  }
};

struct AddPieces {
  const float* partial;
  float* out;
  int64_t pieces, E;
  bool accumulate;
  MOIETY_HD void operator()(int64_t e) const {
    double sum = accumulate ? static_cast<double>(out[e]) : 0.0;
    for (int64_t p = 0; p < pieces; ++p) sum += static_cast<double>(partial[p * E + e]);
    out[e] = static_cast<float>(sum);
  }
};

/// out f32 [E] = (or +=) sum over t < T of value(t, e); value is a struct with a MOIETY_HD call.
template <class V>
void column_sums(Exec& exec, int64_t T, int64_t E, const V& value, float* out, bool accumulate) {
  const int64_t pieces = (T + kColumnPiece - 1) / kColumnPiece;
  float* partial = exec.scratch(DType::kF32, {pieces, E}).data<float>();
  for_each_row(exec, pieces * E, PieceSums<V>{value, partial, T, E});
  for_each_row(exec, E, AddPieces{partial, out, pieces, E, accumulate});
}

}  // namespace moiety::ops
