// The producers' part of a grouped kernel: they fill the ring of stages, tile after tile.
#pragma once

#include "core/ops/sm90/gather.cuh"
#include "core/ops/sm90/grouped_problem.h"
#include "core/ops/sm90/scales.cuh"
#include "core/ops/sm90/tile_scheduler.cuh"
#include "core/ops/sm90/tma.cuh"

namespace moiety::ops::sm90 {

template <class Kernel>
struct KernelArguments {
  CUtensorMap a, b;
  IndexedRows indexed;   // the operand of Kernel::kGather, in place of its map
  OperandScales scales;  // of a scaled product
  Extents extents;
  typename Kernel::Finish::Arguments finish;
};

/// Fetches an operand: kSize rows or columns `outer(0)`, `outer(1)`... at `depth` of its steps.
/// Blocks of a cluster that need the same (kShared) fetch half of it each, for both.
template <Major kMajor, int kSize, bool kShared, int kRun, class F>
__device__ inline void fetch_operand(const CUtensorMap& map, const F& outer, int depth, int slice,
                                     uint8_t* to, Barrier& barrier) {
  constexpr int kMine = kShared ? kSize / 2 : kSize;
  constexpr int kBox = kMajor == Major::kDepth ? (kRun < kMine ? kRun : kMine) : kBoxWidth;
  const int first = kShared ? block_in_cluster() * kMine : 0;
#pragma unroll
  for (int i = 0; i < kMine; i += kBox) {
    const int at = first + i;
    const int x = kMajor == Major::kDepth ? depth : outer(at);
    const int y = kMajor == Major::kDepth ? outer(at) : depth;
    uint8_t* here = to + at * kRowBytes;
    if constexpr (kShared) {
      fetch_box_for(3, map, x, y, slice, here, barrier);
    } else {
      fetch_box(map, x, y, slice, here, barrier);
    }
  }
}

/// Has the copy engine bring what it can of a stage. One thread calls it.
template <class Kernel>
__device__ inline void fetch_stage(const KernelArguments<Kernel>& p, const Tile& tile, int slot,
                                   int depth, typename SharedMemory<Kernel>::Stage& stage,
                                   Barrier& full) {
  full.arrive_and_expect(Kernel::kFetchedBytes);
  if constexpr (Kernel::kGather != Gather::kA) {
    fetch_operand<Kernel::kMajorA, Kernel::kM, (Kernel::kAcross > 1), Kernel::kM>(
        p.a, [&](int i) { return slot + tile.row + i; }, depth, 0, stage.a, full);
  }
  if constexpr (Kernel::kGather != Gather::kB) {
    const auto column = [&](int i) {
      if (!Kernel::Finish::kGated) return tile.column + i;
      return i < Kernel::kColumns ? tile.column + i
                                  : p.extents.columns + tile.column + i - Kernel::kColumns;
    };
    fetch_operand<Kernel::kMajorB, Kernel::kN, (Kernel::kDown > 1), Kernel::kColumns>(
        p.b, column, depth, Kernel::kGradient ? 0 : tile.expert, stage.b, full);
  }
}

/// The producer where the copy engine brings everything: one thread.
template <class Kernel>
__device__ void fetch_tiles(const KernelArguments<Kernel>& p,
                            const TileScheduler<Kernel>& scheduler, SharedMemory<Kernel>& shared) {
  Ring<Kernel::kStages> ring;
  scheduler.each_tile([&](const Tile& tile) {
    const int slot = Kernel::kGradient ? 0 : shared.start[tile.segment];
    scheduler.each_stage(tile, [&](int at, int) {
      shared.empty[ring.stage].wait(ring.parity ^ 1);
      fetch_stage<Kernel>(p, tile, slot, at, shared.stage[ring.stage], shared.full[ring.stage]);
      ring.advance();
    });
  });
}

/// The producers where threads copy a part of a stage, an operand's rows that are named by an index
/// or scales: a warpgroup, of which one thread has the copy engine bring the rest.
template <class Kernel>
class StageCopier {
 public:
  __device__ StageCopier(const KernelArguments<Kernel>& p, SharedMemory<Kernel>& shared)
      : p_(p), shared_(shared) {}

  __device__ void run(const TileScheduler<Kernel>& scheduler) {
    scheduler.each_tile([&](const Tile& tile) {
      if constexpr (Kernel::kGradient) {
        // A stage's rows are looked up while the stage before it waits for its place.
        scheduler.each_stage(tile, [&](int at, int depth) {
          operand_.look_up(p_.indexed, at, depth);
          if (waiting_) fill(tile_, 0, at_, kGatherA ? tile_.row : tile_.column);
          operand_.take(p_.indexed);
          tile_ = tile, at_ = at, waiting_ = true;
        });
      } else {
        const int slot = shared_.start[tile.segment], first = slot + tile.row;
        const int count = shared_.count[tile.segment] - tile.row;
        if constexpr (Kernel::kScaled) {
          scales_.look_up(p_.scales, p_.extents, tile, first, count, p_.indexed.row);
        }
        if constexpr (kGatherA) {
          operand_.look_up(p_.indexed, first, count);
          operand_.take(p_.indexed);
        }
        scheduler.each_stage(tile, [&](int at, int) { fill(tile, slot, at, at); });
      }
    });
    if (waiting_) fill(tile_, 0, at_, kGatherA ? tile_.row : tile_.column);
  }

 private:
  static constexpr bool kGatherA = Kernel::kGather == Gather::kA;
  __device__ void fill(const Tile& tile, int slot, int at, int column) {
    auto& stage = shared_.stage[ring_.stage];
    Barrier& full = shared_.full[ring_.stage];
    shared_.empty[ring_.stage].wait(ring_.parity ^ 1);
    if (threadIdx.x == 0) fetch_stage<Kernel>(p_, tile, slot, at, stage, full);
    if constexpr (Kernel::kScaled) scales_.copy(p_.scales, at, shared_.scales[ring_.stage]);
    if constexpr (Kernel::kGather != Gather::kNone) {
      operand_.copy(p_.indexed, column, kGatherA ? stage.a : stage.b);
    }
    arrive_after_copies(full);
    ring_.advance();
  }

  const KernelArguments<Kernel>& p_;
  SharedMemory<Kernel>& shared_;
  GatheredOperand<kGatherA ? Kernel::kMajorA : Kernel::kMajorB, kGatherA ? Kernel::kM : Kernel::kN,
                  sizeof(typename Kernel::T)>
      operand_;
  ScaleCopies<Kernel> scales_;
  Ring<Kernel::kStages> ring_;
  Tile tile_ = {};
  int at_ = 0;
  bool waiting_ = false;
};

}  // namespace moiety::ops::sm90
