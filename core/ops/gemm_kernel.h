// The innermost loops of products on the CPU, built for several instruction sets. Every element is
// summed over the depth in the same order, so builds with fused multiply-adds give equal bits, and
// a row alone the bits that it has in a larger product.
#pragma once

#include <cstdint>

#include <moiety/export.h>

namespace moiety::ops::cpu {

/// So many steps of the depth are summed before the sum meets memory.
inline constexpr int64_t kPanelDepth = 256;

/// Most rows of a that a kernel multiplies at once.
inline constexpr int64_t kMostRows = 8;

/// Rows of a: element k of row i lies at [i * row_stride + k * depth_stride].
struct KernelRows {
  const float* at;
  int64_t row_stride, depth_stride;
};

struct GemmKernel {
  int64_t rows;     // of a that are multiplied at once
  int64_t lanes;    // of a vector
  int64_t vectors;  // most of a panel of b: it has 1 to `vectors` times `lanes` columns

  /// to [depth, lanes] = from[lane * lane_stride + step * depth_stride], zeros from `count` on; one
  /// of the strides is 1.
  void (*pack)(const float* from, int64_t lane_stride, int64_t depth_stride, int64_t count,
               int64_t lanes, int64_t depth, float* to);
  /// c [height, width] = (or +=) a b, of 1 to `rows` rows of a and a panel b [depth, vectors *
  /// lanes]. By reference: a struct on the stack would be copied by wide loads, which wait for all
  /// stores to c.
  void (*multiply)(int64_t vectors, const KernelRows& a, const float* b, int64_t depth,
                   int64_t height, int64_t width, float* c, int64_t c_pitch, bool add);

  int64_t columns() const { return vectors * lanes; }
};

MOIETY_API GemmKernel base_kernel();    ///< for every CPU
MOIETY_API GemmKernel avx2_kernel();    ///< AVX2 and FMA
MOIETY_API GemmKernel avx512_kernel();  ///< AVX-512F
MOIETY_API bool avx2_usable();
MOIETY_API bool avx512_usable();
/// The widest that this CPU runs.
MOIETY_API const GemmKernel& widest_kernel();

}  // namespace moiety::ops::cpu
