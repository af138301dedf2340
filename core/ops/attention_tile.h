// The inner loops of attention on the CPU, in f32 on tiles of 64 x 64 scores. Built for SSE2, AVX2
// and AVX-512 and chosen at run time; all give the same bits, since every sum has a fixed order.
#pragma once

#include <cstdint>

#include <moiety/export.h>

namespace moiety::ops {

inline constexpr int64_t kTile = 64;     // queries and keys of a tile
inline constexpr int64_t kColumns = 16;  // head_dim is padded with zeros to a multiple of this

inline int64_t padded(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

struct TileMath {
  /// c [m, n] += a [m, k] b [k, n], n a multiple of 16. Element (i, p) of a is
  /// a[i * a_row + p * a_column]; the rows of b and c lie b_row and c_row apart.
  void (*multiply_add)(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row,
                       int64_t a_column, const float* b, int64_t b_row, float* c, int64_t c_row);
  /// One row of online softmax: scores [64], of which the first `valid` count, become
  /// e^(score - top) with the new top; `sum` follows. Returns e^(old top - new top).
  float (*softmax_step)(int64_t valid, float* scores, float* top, float* sum);
  /// One row of backward. scores become the probabilities e^(score - log_sum) times keep, and
  /// dprobability, the gradient of the kept probabilities, becomes that of the scores. keep [64] is
  /// 0 or 1 / (1 - dropout); null = 1.
  void (*softmax_backward)(int64_t valid, const float* keep, float log_sum, float delta,
                           float* scores, float* dprobability);
};

/// The best of this machine.
MOIETY_API const TileMath& tile_math();
/// All that this machine can run, slowest first, for the test that their bits agree.
MOIETY_API const TileMath* const* all_tile_math(int* count);

}  // namespace moiety::ops
