// Work that sums: one functor for the CPU and the GPU, in blocks whose sums have a fixed order.
//
//   struct Squares {
//     static constexpr int kSums = 1;
//     MOIETY_HD void run(int64_t block, int64_t lane, int64_t lanes, double* sums) const;
//     MOIETY_HD void finish(int64_t block, const double* sums) const;
//   };
//
// run() does every lanes-th piece of a block's work, from `lane` on, and adds to its own sums,
// which start at 0. finish() is called once a block with their totals. On the GPU a block is a
// thread block and its threads are the lanes; on the CPU it is a row of the thread pool with one
// lane.
#pragma once

#include <cstdint>

#include <moiety/exec.h>

namespace moiety {

inline constexpr int kBlockLanes = 256;

#if defined(__CUDACC__)
template <class F>
__global__ void blocks_kernel(F f) {
  constexpr int kSums = F::kSums > 0 ? F::kSums : 1;
  double mine[kSums] = {};
  f.run(int64_t{blockIdx.x}, int64_t{threadIdx.x}, int64_t{kBlockLanes}, mine);
  if constexpr (F::kSums > 0) {
    __shared__ double lanes[kSums][kBlockLanes];
    for (int k = 0; k < kSums; ++k) lanes[k][threadIdx.x] = mine[k];
    __syncthreads();
    for (unsigned half = kBlockLanes / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) {
        for (int k = 0; k < kSums; ++k) lanes[k][threadIdx.x] += lanes[k][threadIdx.x + half];
      }
      __syncthreads();
    }
    if (threadIdx.x == 0) {
      for (int k = 0; k < kSums; ++k) mine[k] = lanes[k][0];
      f.finish(int64_t{blockIdx.x}, mine);
    }
  }
}
#endif

/// Runs f on `blocks` blocks (below 2^31) on the device of exec.
template <class F>
void for_each_block(Exec& exec, int64_t blocks, const F& f) {
  if (blocks == 0) return;
#if defined(__CUDACC__)
  if (exec.is_cuda()) {
    blocks_kernel<<<static_cast<unsigned>(blocks), kBlockLanes, 0,
                    static_cast<cudaStream_t>(exec.stream())>>>(f);
    return;
  }
#endif
  exec.cpu_rows(
      blocks,
      [](const void* context, int64_t block) {
        const F& functor = *static_cast<const F*>(context);
        double sums[F::kSums > 0 ? F::kSums : 1] = {};
        functor.run(block, 0, 1, sums);
        if constexpr (F::kSums > 0) functor.finish(block, sums);
      },
      &f);
}

}  // namespace moiety
