// Pieces of the grouped products on CUDA: which segment a block works on, and tiles of an operand
// on their way from memory to shared memory.
#pragma once

#include <cstdint>

namespace moiety::ops::cuda {

inline constexpr int kTileThreads = 256;

/// The block's tile among the tiles of all segments; segment -1 where there is none left.
struct Place {
  int segment, tile;
};

/// Tile number `index` when segment g has ceil(count[g] / height) of them. The whole block calls
/// it; the first warp looks, 32 segments at a time.
__device__ inline Place find_tile(const int32_t* count, int segments, int height, int64_t index) {
  __shared__ Place found;
  if (threadIdx.x < 32) {
    const int lane = static_cast<int>(threadIdx.x);
    if (lane == 0) found = {-1, 0};
    __syncwarp();
    int64_t before = 0;
    for (int base = 0; base < segments && before <= index; base += 32) {
      const int g = base + lane;
      const int tiles = g < segments ? (count[g] + height - 1) / height : 0;
      int sum = tiles;
      for (int offset = 1; offset < 32; offset *= 2) {
        const int left = __shfl_up_sync(0xffffffffu, sum, offset);
        if (lane >= offset) sum += left;
      }
      const int64_t first = before + sum - tiles;
      if (index >= first && index < first + tiles) found = {g, static_cast<int>(index - first)};
      before += __shfl_sync(0xffffffffu, sum, 31);
    }
  }
  __syncthreads();
  return found;
}

/// A window of a row-major matrix in device memory. Elements outside count as zero.
template <class Raw>
struct Window {
  const Raw* data;
  int64_t pitch, rows, columns;
  bool vector;  // every row starts at a multiple of 16 bytes
};

/// One thread's share of a kRows x kColumns tile, held in registers while the block computes.
template <class Raw, int kRows, int kColumns>
class TileShare {
 public:
  __device__ void fetch(const Window<Raw>& window, int64_t row, int64_t column) {
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int chunk = i * kTileThreads + static_cast<int>(threadIdx.x);
      held_[i] = load(window, row + chunk / kAcross, column + chunk % kAcross * kWidth);
    }
  }
  /// To shared memory with rows `kPitch` apart.
  template <int kPitch>
  __device__ void put(Raw* shared) const {
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int chunk = i * kTileThreads + static_cast<int>(threadIdx.x);
      Raw* to = shared + chunk / kAcross * kPitch + chunk % kAcross * kWidth;
      *reinterpret_cast<uint4*>(to) = held_[i];
    }
  }

 private:
  static constexpr int kWidth = 16 / sizeof(Raw), kAcross = kColumns / kWidth;
  static constexpr int kChunks = kRows * kAcross / kTileThreads;
  static_assert(kColumns % kWidth == 0 && kRows * kAcross % kTileThreads == 0);

  static __device__ uint4 load(const Window<Raw>& window, int64_t row, int64_t column) {
    union {
      uint4 whole;
      Raw part[kWidth];
    } chunk;
    chunk.whole = make_uint4(0, 0, 0, 0);
    if (row >= window.rows || column >= window.columns) return chunk.whole;
    const Raw* at = window.data + row * window.pitch + column;
    if (window.vector && column + kWidth <= window.columns) {
      return *reinterpret_cast<const uint4*>(at);
    }
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      if (column + i < window.columns) chunk.part[i] = at[i];
    }
    return chunk.whole;
  }

  uint4 held_[kChunks];
};

}  // namespace moiety::ops::cuda
