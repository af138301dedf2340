// The consumers' part of a grouped kernel: two warpgroups multiply what the ring of stages brings
// and hand the sums on.
#pragma once

#include "core/ops/sm90/fetch_tiles.cuh"
#include "core/ops/sm90/finish.cuh"
#include "core/ops/sm90/multiply_scaled.cuh"
#include "core/ops/sm90/store_boxes.cuh"

namespace moiety::ops::sm90 {

inline constexpr int kStep = 16;  // of the depth, that one instruction multiplies

/// Rows of every box of a stage, from `depth` on to the next multiple of kStep, become zeros: they
/// hold slots of other segments. The consumers call it together.
template <class Kernel>
__device__ inline void clear_rows_from(int depth, typename SharedMemory<Kernel>::Stage& stage) {
  constexpr int kCallers = 2 * kWarpgroup, kPieces = kRowBytes / 16;
  constexpr int kBoxes = (Kernel::kM + Kernel::kN) / kBoxWidth,
                kAtOnce = kCallers / kPieces / kStep;
  const int caller = static_cast<int>(threadIdx.x) % kCallers;
  const int row = depth + caller / kPieces % kStep, end = (depth + kStep - 1) / kStep * kStep;
  if (row < end) {
    uint8_t* at = stage.a + row * kRowBytes + caller % kPieces * 16;
    for (int box = caller / kPieces / kStep; box < kBoxes; box += kAtOnce)
      *reinterpret_cast<uint4*>(at + box * kBoxBytes) = make_uint4(0, 0, 0, 0);
  }
  fence_async_proxy();
  sync_threads_of(1, kCallers);
}

/// Adds the products of the first `steps` steps of a stage, all of it but at the end of a
/// gradient's segment. Each number of them has code of its own: the instruction cannot be left out
/// by a condition.
template <class Kernel, int kSteps = Kernel::kDepth / kStep>
__device__ inline void multiply_steps(Sums<Kernel>& sums, uint64_t a, uint64_t b, int steps) {
  if constexpr (Kernel::kGradient && kSteps > 1) {
    if (__shfl_sync(0xffffffffu, steps, 0) < kSteps) {  // the same in all threads: ptxas sees it
      return multiply_steps<Kernel, kSteps - 1>(sums, a, b, steps);
    }
  }
  begin_products();
#pragma unroll
  for (int k = 0; k < kSteps; ++k) {
#pragma unroll
    for (int i = 0; i < Kernel::kRowBlocks; ++i) {
      multiply_add<typename Kernel::T, Kernel::kN, Kernel::kMajorA, Kernel::kMajorB>(
          sums[i], a + k * kDepthStep<Kernel::kMajorA> + i * (kBoxBytes / 16),
          b + k * kDepthStep<Kernel::kMajorB>);
    }
  }
  commit_products();
}

/// The sums of a warpgroup's half of a tile, which begins at box `box`.
template <class Kernel>
__device__ inline void multiply_stages(Sums<Kernel>& sums, const Tile& tile, int box,
                                       const TileScheduler<Kernel>& scheduler,
                                       SharedMemory<Kernel>& shared, Ring<Kernel::kStages>& ring) {
  int before = -1;  // the stage that is still being read
  scheduler.each_stage(tile, [&](int, int depth) {
    auto& stage = shared.stage[ring.stage];
    shared.full[ring.stage].wait(ring.parity);
    if constexpr (Kernel::kGather != Gather::kNone) fence_async_proxy();  // threads wrote it
    if (Kernel::kGradient && depth % kStep != 0) clear_rows_from<Kernel>(depth, stage);
    const uint64_t a = operand_at(shared_address(stage.a + box * kBoxBytes));
    const uint64_t b = operand_at(shared_address(stage.b));
    multiply_steps<Kernel>(sums, a, b, (depth + kStep - 1) / kStep);
    wait_products<1>();
    if (before >= 0) release_stage(shared, before);
    before = ring.stage;
    ring.advance();
  });
  wait_products<0>();
  if (before >= 0) release_stage(shared, before);
}

/// The same whatever the operands. Where the half has none of the segment's `rows` its stages only
/// go by: the tensor cores stay free for the other one.
template <class Kernel>
__device__ inline void multiply_tile(Sums<Kernel>& sums, const Tile& tile, int rows,
                                     const TileScheduler<Kernel>& scheduler,
                                     SharedMemory<Kernel>& shared, Ring<Kernel::kStages>& ring,
                                     int group) {
  const int box = group * Kernel::kRowBlocks;
  if (!Kernel::kGradient && rows <= tile.row + box * 64) {
    scheduler.each_stage(tile, [&](int, int) {
      shared.full[ring.stage].wait(ring.parity);
      release_stage(shared, ring.stage);
      ring.advance();
    });
    return;
  }
#pragma unroll
  for (int i = 0; i < Kernel::kRowBlocks; ++i) {
#pragma unroll
    for (int j = 0; j < Kernel::kN / 2; ++j) sums[i][j] = 0;
  }
  if constexpr (Kernel::kScaled) {
    multiply_scaled(sums, tile, box, scheduler, shared, ring);
  } else {
    multiply_stages(sums, tile, box, scheduler, shared, ring);
  }
}

/// Hands on the sums of a warp: 16 rows, the first of them `row` of the tile's matrix or segment.
template <class Kernel>
__device__ inline void finish_sums(const KernelArguments<Kernel>& p,
                                   const float (&sums)[Kernel::kN / 2],
                                   typename Kernel::Finish::Boxes& boxes, const Place& place,
                                   int row) {
  using Finish = typename Kernel::Finish;
  if constexpr (Finish::kBoxes) {
    using Out = typename Finish::Out;
    if (Kernel::kGradient || place.bounds.rows >= 16) {
      store_boxes<Out, Kernel::kN>(sums, boxes, p.finish.map, place.column,
                                   Kernel::kGradient ? row : static_cast<int>(place.row),
                                   Kernel::kGradient ? place.expert : 0, p.finish.rows.accumulate);
    } else {
      if (threadIdx.x % 32 == 0) wait_stores_read<0>();  // the staging is theirs
      __syncwarp();
      StoreSums<Out> finish(p.finish.rows, place);
      finish_rows<StoreSums<Out>, Kernel::kN>(sums, boxes.staging, finish, place.bounds);
    }
  } else {
    Finish finish(p.finish, place);
    finish_rows<Finish, Kernel::kN>(sums, boxes.staging, finish, place.bounds);
  }
}

/// Warpgroup `group` of the two calls it.
template <class Kernel>
__device__ void multiply_tiles(const KernelArguments<Kernel>& p,
                               const TileScheduler<Kernel>& scheduler, SharedMemory<Kernel>& shared,
                               int group) {
  using Finish = typename Kernel::Finish;
  Ring<Kernel::kStages> ring;
  Sums<Kernel> sums;
  const int warp = static_cast<int>(threadIdx.x) / 32 % 4;
  typename Finish::Boxes boxes{shared.staging[group * 4 + warp]};
  scheduler.each_tile([&](const Tile& tile) {
    const int64_t first = Kernel::kGradient ? int64_t{tile.expert} * p.extents.rows
                                            : int64_t{shared.start[tile.segment]};
    const int rows = Kernel::kGradient ? p.extents.rows : shared.count[tile.segment];
    multiply_tile<Kernel>(sums, tile, rows, scheduler, shared, ring, group);
#pragma unroll
    for (int i = 0; i < Kernel::kRowBlocks; ++i) {
      const int row = tile.row + (group * Kernel::kRowBlocks + i) * 64 + warp * 16;
      if (row >= rows) continue;
      const Place place{first + row,
                        tile.column,
                        tile.expert,
                        tile.column / Kernel::kColumns,
                        {rows - row, p.extents.columns - tile.column}};
      finish_sums<Kernel>(p, sums[i], boxes, place, row);
    }
  });
  if constexpr (Finish::kBoxes) {
    if (threadIdx.x % 32 == 0) wait_stores();  // they read shared memory
  }
}

}  // namespace moiety::ops::sm90
