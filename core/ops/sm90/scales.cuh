// The scales of a stage of bytes: the producers' threads copy them beside it, one of each row of a
// and one of each block of w, and the consumers read them when the stage's products are done.
#pragma once

#include <cstdint>

#include "core/ops/sm90/gather.cuh"
#include "core/ops/sm90/grouped_problem.h"
#include "core/ops/sm90/tile_scheduler.cuh"

namespace moiety::ops::sm90 {

/// Four bytes from device to shared memory; they count at the next arrive_after_copies.
__device__ inline void copy_number(float* to, const float* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(to)), "l"(from)
               : "memory");
}

/// One producer thread's share of the scales of a tile's stages.
template <class Kernel>
class ScaleCopies {
 public:
  /// The tile begins at `slot`; `count` slots from there on belong to its segment, and are row
  /// `row`[slot] of a, or row slot where that is null.
  __device__ void look_up(const OperandScales& scales, const Extents& extents, const Tile& tile,
                          int slot, int count, const int32_t* row) {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int at = slot + min(thread + i * kWarpgroup, count - 1);
      a_[i] = (Kernel::kGather == Gather::kA ? row[at] : at) * scales.a_pitch;
    }
    const int width = extents.columns, columns = Kernel::Finish::kGated ? 2 * width : width;
    const int column = min(tile.column, width - 1) + (thread == 1 ? width : 0);
    w_ = (tile.expert * blocks(columns) + column / kBlock) * scales.w_pitch;
  }
  /// Copies the scales of the stage at step `at` of the depth.
  __device__ void copy(const OperandScales& scales, int at, float* to) const {
    const int thread = static_cast<int>(threadIdx.x), k = at / kBlock;
#pragma unroll
    for (int i = 0; i < kRows; ++i) copy_number(to + thread + i * kWarpgroup, scales.a + a_[i] + k);
    if (thread < (Kernel::Finish::kGated ? 2 : 1))
      copy_number(to + Kernel::kM + thread, scales.w + w_ + k);
  }

 private:
  static constexpr int kBlock = 128;  // steps, and columns of w, of one scale
  static constexpr int kRows = Kernel::kM / kWarpgroup;
  static_assert(!Kernel::kScaled || (Kernel::kDepth == kBlock && Kernel::kN == kBlock));
  static __device__ int blocks(int size) { return (size + kBlock - 1) / kBlock; }
  int a_[kRows], w_;  // where the scales of a row, or of w's blocks, begin
};

/// What the sums of row `row` of a stage are multiplied by, in half `half` of the tile's columns.
template <class Kernel>
__device__ inline float scale_of(const float* scales, int row, int half) {
  return scales[row] * scales[Kernel::kM + (Kernel::Finish::kGated ? half : 0)];
}

}  // namespace moiety::ops::sm90
