// Sums in registers to a matrix whose tiles are whole, by the copy engine: a warp puts 8 rows of
// 128 bytes into its shared memory, has them stored and goes on while they are read. The engine
// clips what lies outside the matrix, and adds where the result accumulates.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "core/ops/sm90/finish.cuh"
#include "core/ops/sm90/store_tile.cuh"

namespace moiety::ops::sm90 {

/// Stores the box in shared memory at (x, y, z) of the map, or adds it to what is there.
__device__ inline void store_box(const CUtensorMap& map, int x, int y, int z, const void* from,
                                 bool add) {
  const auto at = reinterpret_cast<uint64_t>(&map);
  if (add) {
    asm volatile(
        "cp.reduce.async.bulk.tensor.3d.global.shared::cta.add.tile.bulk_group "
        "[%0, {%1, %2, %3}], [%4];" ::"l"(at),
        "r"(x), "r"(y), "r"(z), "r"(shared_address(from))
        : "memory");
  } else {
    asm volatile(
        "cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group "
        "[%0, {%1, %2, %3}], [%4];" ::"l"(at),
        "r"(x), "r"(y), "r"(z), "r"(shared_address(from))
        : "memory");
  }
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/// Returns when at most `kPending` stores of this thread still read shared memory.
template <int kPending>
__device__ inline void wait_stores_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}

/// Returns when this thread's stores are done.
__device__ inline void wait_stores() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }

/// Rows 8 kHalf to 8 kHalf + 7 of a chunk, in the copy engine's 128-byte swizzle. See stage_chunk
/// for the sums.
template <class Out, int kHalf>
__device__ inline void stage_half(const float* sums, uint8_t* staging) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const float* s = sums + 2 * kHalf;
  if constexpr (sizeof(Out) == 2) {
#pragma unroll
    for (int j = 0; j < 8; j += 4) {
      const int row = lane % 8, piece = j + lane / 8;
      const uint32_t to = shared_address(staging + row * 128 + (piece ^ row) * 16);
      asm volatile(
          "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to),
          "r"(pack<Out>(s[4 * j], s[4 * j + 1])), "r"(pack<Out>(s[4 * j + 4], s[4 * j + 5])),
          "r"(pack<Out>(s[4 * j + 8], s[4 * j + 9])), "r"(pack<Out>(s[4 * j + 12], s[4 * j + 13]))
          : "memory");
    }
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = lane / 4, q = lane % 4;
      uint8_t* to = staging + row * 128 + ((2 * j + q / 2) ^ row) * 16 + q % 2 * 8;
      *reinterpret_cast<float2*>(to) = {s[4 * j], s[4 * j + 1]};
    }
  }
}

/// The boxes of a warp's staging: kNumber of them, kRows (8 or 16) x 128 bytes each, in turn.
template <int kRows_, int kNumber_>
struct StagedBoxes {
  static constexpr int kRows = kRows_, kNumber = kNumber_, kBytes = kRows * 128;
  uint8_t* staging;
  int next = 0;

  /// A box that is not read any more.
  __device__ uint8_t* take() {
    if (threadIdx.x % 32 == 0) wait_stores_read<kNumber - 1>();
    __syncwarp();
    uint8_t* box = staging + next * kBytes;
    next = next + 1 == kNumber ? 0 : next + 1;
    return box;
  }
  /// Has what all threads wrote to the box stored at (x, y, z).
  __device__ void store(const CUtensorMap& map, int x, int y, int z, const uint8_t* box, bool add) {
    fence_async_proxy();
    __syncwarp();
    if (threadIdx.x % 32 == 0) store_box(map, x, y, z, box, add);
  }
};

/// 16 rows x kN columns of a warp to the map, from (column, row, slice) on.
template <class Out, int kN, class Boxes>
__device__ inline void store_boxes(const float (&sums)[kN / 2], Boxes& boxes,
                                   const CUtensorMap& map, int column, int row, int slice,
                                   bool accumulate) {
  constexpr int kWidth = 128 / sizeof(Out), kHalfBytes = 8 * 128;
#pragma unroll
  for (int chunk = 0; chunk < kN / kWidth; ++chunk) {
    const float* from = sums + chunk * kWidth / 2;
    const int x = column + chunk * kWidth;
    uint8_t* box = boxes.take();
    stage_half<Out, 0>(from, box);
    if constexpr (Boxes::kRows == 16) {
      stage_half<Out, 1>(from, box + kHalfBytes);
      boxes.store(map, x, row, slice, box, accumulate);
    } else {
      boxes.store(map, x, row, slice, box, accumulate);
      box = boxes.take();
      stage_half<Out, 1>(from, box);
      boxes.store(map, x, row + 8, slice, box, accumulate);
    }
  }
}

/// The finish of plain products: out = or += the sums, as boxes; 16 rows that are not all there go
/// row by row. Large boxes, and more of them, cost a stage of the ring: they pay where a tile has
/// few stages, so that its stores take as long as its products.
template <class Out_, int kRows = 8, int kNumber = 2>
class StoreBoxes {
 public:
  using Out = Out_;
  using Boxes = StagedBoxes<kRows, kNumber>;
  static constexpr bool kGated = false, kBoxes = true;
  static constexpr int kBuffers = kRows * kNumber / 16;
  struct Arguments {
    CUtensorMap map;
    typename StoreSums<Out>::Arguments rows;
  };
};

}  // namespace moiety::ops::sm90
