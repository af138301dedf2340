// The innermost loops of products on the CPU, built for several instruction sets. Every element is
// summed over the depth in the same order, so builds with fused multiply-adds give equal bits, and
// a row alone the bits that it has in a larger product.
#pragma once

#include <cstdint>

#include <moiety/export.h>

namespace moiety::ops::cpu {

/// So many steps of the depth are summed before the sum meets memory.
inline constexpr int64_t kPanelDepth = 256;

struct GemmKernel {
  int64_t rows;     // of a panel of a
  int64_t lanes;    // of a vector
  int64_t vectors;  // most of a panel of b: it has 1 to `vectors` times `lanes` columns

  /// to [depth, lanes] = from[lane * lane_stride + step * depth_stride], zeros from `count` on; one
  /// of the strides is 1.
  void (*pack)(const float* from, int64_t lane_stride, int64_t depth_stride, int64_t count,
               int64_t lanes, int64_t depth, float* to);
  /// c [height, width] = (or +=) a^T b of panels a [depth, rows], b [depth, vectors * lanes].
  void (*multiply)(int64_t vectors, const float* a, const float* b, int64_t depth, int64_t height,
                   int64_t width, float* c, int64_t c_pitch, bool add);

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
