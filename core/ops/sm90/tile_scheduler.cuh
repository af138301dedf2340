// Which tile comes next. All blocks walk one list of tiles in equal strides; every role of a block
// derives the list from the segments' counts, which only the device knows, for itself.
#pragma once

#include <cstdint>

#include "core/ops/sm90/tile_shape.cuh"

namespace moiety::ops::sm90 {

struct Tile {
  int segment;  // of a product
  int expert;
  int row, column;  // first ones, in the segment's part of the result or in grad[expert]
};

/// What the scheduler knows of a launch besides the segments' counts.
struct Extents {
  const int32_t *start, *count;
  int segments, experts;
  int rows;     // of a gradient; a product's are the segments'
  int columns;  // of the result
  int depth;    // of a product; a gradient's are the segments'
};

/// Tiles of `down` x `across`, band after band of rows, column after column in a band. The blocks
/// of a moment then work on few rows and few columns, so that the operands they share stay in the
/// L2 cache.
struct TileOrder {
  static constexpr int kBand = 16;
  int row, column;
  __device__ TileOrder(int index, int down, int across) {
    const int first = index / (kBand * across) * kBand;
    const int height = min(kBand, down - first), within = index - first * across;
    column = within / height;
    row = first + within - column * height;
  }
};

template <class Kernel>
class TileScheduler {
 public:
  /// Reads the segments into shared memory. The whole block calls it.
  __device__ TileScheduler(const Extents& extents, SharedMemory<Kernel>& shared)
      : extents_(extents), shared_(shared) {
    for (int g = static_cast<int>(threadIdx.x); g < extents.segments; g += kThreads) {
      shared.start[g] = extents.start[g];
      shared.count[g] = extents.count[g];
    }
    __syncthreads();
    if constexpr (Kernel::kGradient) {
      total_ = extents.experts * tiles(extents.rows, kHeight) * across();
    } else {
      if (threadIdx.x < 32) sum_tiles();
      __syncthreads();
      total_ = shared.tiles_before[extents.segments] * across();
    }
  }

  /// fn(tile) for the tiles of this block, in order.
  template <class F>
  __device__ void each_tile(const F& fn) const {
    const int stride = static_cast<int>(gridDim.x) / Kernel::kCluster;
    for (int i = static_cast<int>(blockIdx.x) / Kernel::kCluster; i < total_; i += stride)
      fn(tile(i));
  }

  /// fn(at, depth) for the stages of a tile: `at` is the first of their steps of the depth, a
  /// column of a product's operand or a slot of a gradient's; `depth` of them belong to the tile.
  template <class F>
  __device__ void each_stage(const Tile& tile, const F& fn) const {
    if constexpr (Kernel::kGradient) {
      for (int g = tile.expert; g < extents_.segments; g += extents_.experts) {
        const int start = shared_.start[g], count = shared_.count[g];
        for (int n = 0; n < count; n += Kernel::kDepth)
          fn(start + n, min(Kernel::kDepth, count - n));
      }
    } else {
      for (int k = 0; k < extents_.depth; k += Kernel::kDepth) fn(k, Kernel::kDepth);
    }
  }
  __device__ int stages(const Tile& tile) const {
    if constexpr (Kernel::kGradient) {
      int sum = 0;
      for (int g = tile.expert; g < extents_.segments; g += extents_.experts) {
        sum += tiles(shared_.count[g], Kernel::kDepth);
      }
      return sum;
    } else {
      return tiles(extents_.depth, Kernel::kDepth);
    }
  }

 private:
  static constexpr int kHeight = Kernel::kM * Kernel::kDown,
                       kWidth = Kernel::kColumns * Kernel::kAcross;

  static __device__ int tiles(int size, int tile) { return (size + tile - 1) / tile; }
  __device__ int across() const { return tiles(extents_.columns, kWidth); }

  /// tiles_before[g]: rows of tiles in the segments before g. The first warp calls it.
  __device__ void sum_tiles() {
    const int lane = static_cast<int>(threadIdx.x);
    int before = 0;
    for (int base = 0; base < extents_.segments; base += 32) {
      const int g = base + lane;
      int sum = g < extents_.segments ? tiles(shared_.count[g], kHeight) : 0;
#pragma unroll
      for (int offset = 1; offset < 32; offset *= 2) {
        const int left = __shfl_up_sync(0xffffffffu, sum, offset);
        if (lane >= offset) sum += left;
      }
      if (g < extents_.segments) shared_.tiles_before[g + 1] = before + sum;
      before += __shfl_sync(0xffffffffu, sum, 31);
    }
    if (lane == 0) shared_.tiles_before[0] = 0;
  }

  /// Tile `index` of the list, as this block of its cluster sees it.
  __device__ Tile tile(int index) const {
    const int wide = across(), rank = Kernel::kCluster == 1 ? 0 : block_in_cluster();
    Tile tile;
    int row, column;
    if constexpr (Kernel::kGradient) {
      const int down = tiles(extents_.rows, kHeight);
      tile.expert = index / (down * wide);
      tile.segment = 0;
      const TileOrder order(index - tile.expert * down * wide, down, wide);
      row = order.row, column = order.column;
    } else {
      tile.segment = segment_of(index / wide);
      tile.expert = tile.segment % extents_.experts;
      const int first = shared_.tiles_before[tile.segment];
      const TileOrder order(index - first * wide, shared_.tiles_before[tile.segment + 1] - first,
                            wide);
      row = order.row, column = order.column;
    }
    tile.row = row * kHeight + (Kernel::kDown > 1 ? rank * Kernel::kM : 0);
    tile.column = column * kWidth + (Kernel::kAcross > 1 ? rank * Kernel::kColumns : 0);
    return tile;
  }

  /// The segment that holds row `row` of tiles: the last one with tiles_before <= row.
  __device__ int segment_of(int row) const {
    int low = 0, high = extents_.segments;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (shared_.tiles_before[middle] <= row ? low : high) = middle;
    }
    return low;
  }

  const Extents& extents_;
  SharedMemory<Kernel>& shared_;
  int total_;
};

}  // namespace moiety::ops::sm90
