// The grouped product of one tile shape. The first warpgroup fills a ring of stages in shared
// memory; the other two multiply from them and store. Blocks stay for the whole launch and walk the
// list of tiles.
#pragma once

#include "core/ops/sm90/multiply_tiles.cuh"

namespace moiety::ops::sm90 {

/// Registers a thread: together what 168 a thread make. Producers hold addresses alone, of several
/// rows where they copy.
template <bool kCopies>
inline constexpr int kProducerRegisters = kCopies ? 56 : 40;
template <bool kCopies>
inline constexpr int kConsumerRegisters = kCopies ? 224 : 232;

template <class Kernel>
__global__ void __launch_bounds__(kThreads, 1)
    grouped_kernel(const __grid_constant__ KernelArguments<Kernel> p) {
  extern __shared__ __align__(1024) uint8_t memory[];
  auto& shared = *reinterpret_cast<SharedMemory<Kernel>*>(memory);
  if (threadIdx.x == 0) {
    if constexpr (Kernel::kGather != Gather::kA) prefetch_map(p.a);
    if constexpr (Kernel::kGather != Gather::kB) prefetch_map(p.b);
    for (int i = 0; i < Kernel::kStages; ++i) {
      shared.full[i].init(Kernel::kFillers);
      shared.empty[i].init(kConsumerWarps * Kernel::kCluster);
    }
    fence_barrier_init();
  }
  const TileScheduler<Kernel> scheduler(p.extents, shared);  // syncs the block
  if constexpr (Kernel::kCluster > 1) sync_cluster();
  const int group = static_cast<int>(threadIdx.x) / kWarpgroup - 1;
  if (group < 0) {
    shrink_registers<kProducerRegisters<Kernel::kCopies>>();
    if constexpr (Kernel::kCopies) {
      StageCopier<Kernel>(p, shared).run(scheduler);
    } else if (threadIdx.x == 0) {
      fetch_tiles<Kernel>(p, scheduler, shared);
    }
    __syncwarp();
  } else {
    grow_registers<kConsumerRegisters<Kernel::kCopies>>();
    multiply_tiles<Kernel>(p, scheduler, shared, group);
  }
  if constexpr (Kernel::kCluster > 1) sync_cluster();  // nobody writes to a block that has left
}

}  // namespace moiety::ops::sm90
