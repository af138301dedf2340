// The consumers' part of a grouped kernel: two warpgroups multiply what the ring of stages brings
// and hand the sums on.
#pragma once

#include "core/ops/sm90/fetch_tiles.cuh"
#include "core/ops/sm90/finish.cuh"
#include "core/ops/sm90/store_boxes.cuh"

namespace moiety::ops::sm90 {

/// Rows [depth, 64) of every box of a stage become zeros: they hold slots of other segments. The
/// consumers of the tile call it together.
template <class Kernel>
__device__ inline void clear_rows_from(int depth, typename SharedMemory<Kernel>::Stage& stage,
                                       int group) {
  constexpr int kCallers = Kernel::kConsumerWarps * 32, kPieces = kBoxWidth * 2 / 16;
  constexpr int kBoxes = (Kernel::kM + Kernel::kN) / kBoxWidth;
  const int caller = static_cast<int>(threadIdx.x) % kCallers, rows = kDepth - depth;
  for (int i = caller; i < kBoxes * rows * kPieces; i += kCallers) {
    const int row = i / kPieces, box = row / rows;
    uint8_t* at = stage.a + box * kBoxBytes + (depth + row - box * rows) * (kBoxWidth * 2);
    *reinterpret_cast<uint4*>(at + i % kPieces * 16) = make_uint4(0, 0, 0, 0);
  }
  fence_async_proxy();
  sync_threads_of(1 + (Kernel::kAlternate ? group : 0), kCallers);
}

template <class Kernel>
using Sums = float[Kernel::kRowBlocks][Kernel::kN / 2];

/// The sums of one tile, or of this warpgroup's half of it. Where that has none of the segment's
/// `rows` the stages only go by: the tensor cores stay free for the other half.
template <class Kernel>
__device__ inline void multiply_tile(Sums<Kernel>& sums, const Tile& tile, int rows,
                                     const TileScheduler<Kernel>& scheduler,
                                     SharedMemory<Kernel>& shared, Ring<Kernel::kStages>& ring,
                                     int group) {
  const int first_box = Kernel::kAlternate ? 0 : group * Kernel::kRowBlocks;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto release = [&](int stage) {
    if constexpr (Kernel::kCluster == 1) {
      if (lane == 0) shared.empty[stage].arrive();
    } else {
      if (lane < Kernel::kCluster) shared.empty[stage].arrive_in_block(lane);
    }
  };
#pragma unroll
  for (int i = 0; i < Kernel::kRowBlocks; ++i) {
#pragma unroll
    for (int j = 0; j < Kernel::kN / 2; ++j) sums[i][j] = 0;
  }
  if (!Kernel::kGradient && rows <= tile.row + first_box * 64) {
    scheduler.each_stage(tile, [&](int, int) {
      shared.full[ring.stage].wait(ring.parity);
      release(ring.stage);
      ring.advance();
    });
    if (Kernel::kAlternate && lane == 0) shared.turn[1 - group].arrive();
    return;
  }
  int before = -1;  // the stage that is still being read
  scheduler.each_stage(tile, [&](int, int depth) {
    auto& stage = shared.stage[ring.stage];
    shared.full[ring.stage].wait(ring.parity);
    if constexpr (Kernel::kGather != Gather::kNone) fence_async_proxy();  // threads wrote it
    if (Kernel::kGradient && depth < kDepth) clear_rows_from<Kernel>(depth, stage, group);
    const uint64_t a = operand_at(shared_address(stage.a + first_box * kBoxBytes));
    const uint64_t b = operand_at(shared_address(stage.b));
    begin_products();
#pragma unroll
    for (int k = 0; k < kDepth / 16; ++k) {
#pragma unroll
      for (int i = 0; i < Kernel::kRowBlocks; ++i) {
        multiply_add<typename Kernel::T, Kernel::kN, Kernel::kMajorA, Kernel::kMajorB>(
            sums[i], a + k * kDepthStep<Kernel::kMajorA> + i * (kBoxBytes / 16),
            b + k * kDepthStep<Kernel::kMajorB>);
      }
    }
    commit_products();
    wait_products<1>();
    if (before >= 0) release(before);
    before = ring.stage;
    ring.advance();
  });
  if (Kernel::kAlternate && lane == 0) shared.turn[1 - group].arrive();
  wait_products<0>();
  if (before >= 0) release(before);
}

/// Hands on the sums of a warp: 16 rows, the first of them `row` of the tile's matrix or segment.
template <class Kernel>
__device__ inline void finish_sums(const KernelArguments<Kernel>& p,
                                   const float (&sums)[Kernel::kN / 2], uint8_t* staging,
                                   const Place& place, int row) {
  using Finish = typename Kernel::Finish;
  if constexpr (Finish::kBoxes) {
    using Out = typename Finish::Out;
    if (Kernel::kGradient || place.bounds.rows >= 16) {
      store_boxes<Out, Kernel::kN>(sums, staging, p.finish.map, place.column,
                                   Kernel::kGradient ? row : static_cast<int>(place.row),
                                   Kernel::kGradient ? place.expert : 0, p.finish.rows.accumulate);
    } else {
      if (threadIdx.x % 32 == 0) wait_stores_read<0>();  // the staging is theirs
      __syncwarp();
      StoreSums<Out> finish(p.finish.rows, place);
      finish_rows<StoreSums<Out>, Kernel::kN>(sums, staging, finish, place.bounds);
    }
  } else {
    Finish finish(p.finish, place);
    finish_rows<Finish, Kernel::kN>(sums, staging, finish, place.bounds);
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
  int number = -1;  // of the tile in this block's list
  scheduler.each_tile([&](const Tile& tile) {
    ++number;
    if (Kernel::kAlternate && number % 2 != group) {
      ring.advance_by(scheduler.stages(tile));
      return;
    }
    // Not before the other has seen all its stages full: a barrier tells a phase from the next one
    // alone, not from the one after.
    if (Kernel::kAlternate && number > 0) {
      shared.turn[group].wait(static_cast<uint32_t>((number - 1) / 2) & 1u);
    }
    const int64_t first = Kernel::kGradient ? int64_t{tile.expert} * p.extents.rows
                                            : int64_t{shared.start[tile.segment]};
    const int rows = Kernel::kGradient ? p.extents.rows : shared.count[tile.segment];
    multiply_tile<Kernel>(sums, tile, rows, scheduler, shared, ring, group);
#pragma unroll
    for (int i = 0; i < Kernel::kRowBlocks; ++i) {
      const int block = (Kernel::kAlternate ? 0 : group * Kernel::kRowBlocks) + i;
      const int row = tile.row + block * 64 + warp * 16;
      if (row >= rows) continue;
      const Place place{first + row,
                        tile.column,
                        tile.expert,
                        tile.column / Kernel::kColumns,
                        {rows - row, p.extents.columns - tile.column}};
      finish_sums<Kernel>(p, sums[i], shared.staging[group * 4 + warp], place, row);
    }
  });
  if constexpr (Finish::kBoxes) {
    if (threadIdx.x % 32 == 0) wait_stores();  // they read shared memory
  }
}

}  // namespace moiety::ops::sm90
