// Products of bytes with scales. Tensor cores sum bytes with few bits (about 14: DeepSeek-V3, arXiv
// 2412.19437, section 3.3), so they sum 128 steps of the depth alone, one stage; then the sums are
// multiplied by the stage's scales and added up in f32. While one warpgroup adds, the other one's
// products run.
#pragma once

#include "core/ops/sm90/fetch_tiles.cuh"

namespace moiety::ops::sm90 {

/// The sums of a warpgroup's half of a tile, which begins at box `box`.
template <class Kernel>
__device__ inline void multiply_scaled(Sums<Kernel>& sums, const Tile& tile, int box,
                                       const TileScheduler<Kernel>& scheduler,
                                       SharedMemory<Kernel>& shared, Ring<Kernel::kStages>& ring) {
  constexpr int kHalf = Kernel::kN / 4;  // of a thread's sums
  const int thread = static_cast<int>(threadIdx.x) % kWarpgroup;
  const int row = box * 64 + thread / 32 * 16 + thread % 32 / 4;  // and the one 8 below
  float part[Kernel::kN / 2];
  scheduler.each_stage(tile, [&](int, int) {
    auto& stage = shared.stage[ring.stage];
    const float* scales = shared.scales[ring.stage];
    shared.full[ring.stage].wait(ring.parity);
    if constexpr (Kernel::kGather != Gather::kNone) fence_async_proxy();  // threads wrote it
    const uint64_t a = operand_at(shared_address(stage.a + box * kBoxBytes));
    const uint64_t b = operand_at(shared_address(stage.b));
#pragma unroll
    for (int i = 0; i < Kernel::kRowBlocks; ++i) {
      begin_products();
#pragma unroll
      for (int k = 0; k < Kernel::kDepth / 32; ++k) {
        multiply_bytes<typename Kernel::T>(part, a + k * 2 + i * (kBoxBytes / 16), b + k * 2,
                                           k > 0);
      }
      commit_products();
      const int top = row + i * 64;
      const float left[2] = {scale_of<Kernel>(scales, top, 0),
                             scale_of<Kernel>(scales, top + 8, 0)};
      const float right[2] = {scale_of<Kernel>(scales, top, 1),
                              scale_of<Kernel>(scales, top + 8, 1)};
      wait_products<0>();
      if (i + 1 == Kernel::kRowBlocks) release_stage(shared, ring.stage);
#pragma unroll
      for (int j = 0; j < kHalf; ++j) {
        sums[i][j] += part[j] * left[j / 2 % 2];
        sums[i][kHalf + j] += part[kHalf + j] * right[j / 2 % 2];
      }
    }
    ring.advance();
  });
}

}  // namespace moiety::ops::sm90
