// Boxes of a tensor in device memory, fetched into shared memory by the copy engine (TMA).
#pragma once

#include <cuda.h>

#include <cstdint>

#include "core/ops/sm90/mbarrier.cuh"

namespace moiety::ops::sm90 {

__device__ inline void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<uint64_t>(&map)) : "memory");
}

/// Fetches the box at (x, y, z), x innermost; what lies outside the tensor arrives as zeros. `to`
/// is a multiple of 1024 bytes; its bytes count at `barrier`.
__device__ inline void fetch_box(const CUtensorMap& map, int x, int y, int z, void* to,
                                 Barrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3, %4}], [%5];" ::"r"(shared_address(to)),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(x), "r"(y), "r"(z), "r"(barrier.address())
      : "memory");
}

/// The same into every block of the cluster whose bit is set in `blocks`, at the same place and
/// counted at the same barrier of each.
__device__ inline void fetch_box_for(uint16_t blocks, const CUtensorMap& map, int x, int y, int z,
                                     void* to, Barrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%2, %3, %4}], [%5], %6;" ::"r"(shared_address(to)),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(x), "r"(y), "r"(z), "r"(barrier.address()),
      "h"(blocks)
      : "memory");
}

}  // namespace moiety::ops::sm90
