// The arithmetic of one output tile: tensor cores for bf16 and f16, multiply-adds for f32. An
// operand lies in shared memory as it lies in device memory; kAlongRows says which way its depth
// runs: false = along columns (a: [m][k], b: [n][k]), true = along rows (a: [k][m], b: [k][n]).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

#include <cstdint>
#include <type_traits>

#include <moiety/float16.h>

#include "core/ops/grouped_tile.cuh"

namespace moiety::ops::cuda {

/// 128 x 128 sums by 8 warps of 64 x 32, depth 32 a step. T is BFloat16 or Float16.
template <class T, bool kARows, bool kBRows>
class TensorCoreTile {
 public:
  using Raw = uint16_t;
  static constexpr bool kAAlongRows = kARows, kBAlongRows = kBRows;
  static constexpr int kM = 128, kN = 128, kK = 32;
  static constexpr int kAPitch = (kARows ? kM : kK) + 8, kBPitch = (kBRows ? kN : kK) + 8;
  static constexpr int kASize = (kARows ? kK : kM) * kAPitch;
  static constexpr int kBSize = (kBRows ? kK : kN) * kBPitch;

  __device__ TensorCoreTile() {
#pragma unroll
    for (int i = 0; i < kDown; ++i) {
#pragma unroll
      for (int j = 0; j < kAcross; ++j) nvcuda::wmma::fill_fragment(sums_[i][j], 0.f);
    }
  }

  __device__ void add(const Raw* a, const Raw* b) {
    const auto* at_a = reinterpret_cast<const Native*>(a);
    const auto* at_b = reinterpret_cast<const Native*>(b);
#pragma unroll
    for (int k = 0; k < kK; k += 16) {
      AFragment left[kDown];
      BFragment right[kAcross];
#pragma unroll
      for (int i = 0; i < kDown; ++i) {
        const int m = first_row() + 16 * i;
        nvcuda::wmma::load_matrix_sync(left[i], at_a + (kARows ? k * kAPitch + m : m * kAPitch + k),
                                       kAPitch);
      }
#pragma unroll
      for (int j = 0; j < kAcross; ++j) {
        const int n = first_column() + 16 * j;
        nvcuda::wmma::load_matrix_sync(
            right[j], at_b + (kBRows ? k * kBPitch + n : n * kBPitch + k), kBPitch);
      }
#pragma unroll
      for (int i = 0; i < kDown; ++i) {
#pragma unroll
        for (int j = 0; j < kAcross; ++j) {
          nvcuda::wmma::mma_sync(sums_[i][j], left[i], right[j], sums_[i][j]);
        }
      }
    }
  }

  /// write(row, column, sum) for every element of the tile. `shared` is free: at least 8 KiB.
  template <class Write>
  __device__ void store(Raw* shared, const Write& write) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    float* mine = reinterpret_cast<float*>(shared) + warp() * 256;
#pragma unroll
    for (int i = 0; i < kDown; ++i) {
#pragma unroll
      for (int j = 0; j < kAcross; ++j) {
        nvcuda::wmma::store_matrix_sync(mine, sums_[i][j], 16, nvcuda::wmma::mem_row_major);
        __syncwarp();
        for (int e = lane; e < 256; e += 32) {
          write(first_row() + 16 * i + e / 16, first_column() + 16 * j + e % 16, mine[e]);
        }
        __syncwarp();
      }
    }
  }

 private:
  using Native = std::conditional_t<std::is_same_v<T, BFloat16>, __nv_bfloat16, __half>;
  using Rows = nvcuda::wmma::row_major;
  using Columns = nvcuda::wmma::col_major;
  using AFragment = nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, 16, Native,
                                           std::conditional_t<kARows, Columns, Rows>>;
  using BFragment = nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16, Native,
                                           std::conditional_t<kBRows, Rows, Columns>>;
  static constexpr int kDown = 4, kAcross = 2;

  static __device__ int warp() { return static_cast<int>(threadIdx.x / 32); }
  static __device__ int first_row() { return warp() / 4 * 64; }
  static __device__ int first_column() { return warp() % 4 * 32; }

  nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float> sums_[kDown][kAcross];
};

/// 64 x 64 sums in f32, 4 x 4 a thread, depth 16 a step.
template <bool kARows, bool kBRows>
class FloatTile {
 public:
  using Raw = float;
  static constexpr bool kAAlongRows = kARows, kBAlongRows = kBRows;
  static constexpr int kM = 64, kN = 64, kK = 16;
  static constexpr int kAPitch = (kARows ? kM : kK) + 4, kBPitch = (kBRows ? kN : kK) + 4;
  static constexpr int kASize = (kARows ? kK : kM) * kAPitch;
  static constexpr int kBSize = (kBRows ? kK : kN) * kBPitch;

  __device__ void add(const Raw* a, const Raw* b) {
#pragma unroll
    for (int k = 0; k < kK; ++k) {
      float left[4], right[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int m = first_row() + i, n = first_column() + i;
        left[i] = a[kARows ? k * kAPitch + m : m * kAPitch + k];
        right[i] = b[kBRows ? k * kBPitch + n : n * kBPitch + k];
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sums_[i][j] = fmaf(left[i], right[j], sums_[i][j]);
      }
    }
  }

  template <class Write>
  __device__ void store(Raw* /*shared*/, const Write& write) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) write(first_row() + i, first_column() + j, sums_[i][j]);
    }
  }

 private:
  static __device__ int first_row() { return static_cast<int>(threadIdx.x) / 16 * 4; }
  static __device__ int first_column() { return static_cast<int>(threadIdx.x) % 16 * 4; }

  float sums_[4][4] = {};
};

template <class T, bool kARows, bool kBRows>
using TileFor = std::conditional_t<std::is_same_v<T, float>, FloatTile<kARows, kBRows>,
                                   TensorCoreTile<T, kARows, kBRows>>;

/// Two stages of both operands' tiles.
template <class Tile>
struct TileMemory {
  alignas(32) typename Tile::Raw a[2][Tile::kASize];
  alignas(32) typename Tile::Raw b[2][Tile::kBSize];
};

/// tile += a b over `depth`. While one step is computed the next one is fetched. Every thread has
/// left the shared memory on return.
template <class Tile>
__device__ void multiply_add(Tile& tile, const Window<typename Tile::Raw>& a,
                             const Window<typename Tile::Raw>& b, int64_t depth,
                             TileMemory<Tile>& memory) {
  using Raw = typename Tile::Raw;
  constexpr bool kARows = Tile::kAAlongRows, kBRows = Tile::kBAlongRows;
  constexpr int kK = Tile::kK;
  TileShare<Raw, kARows ? kK : Tile::kM, kARows ? Tile::kM : kK> share_a;
  TileShare<Raw, kBRows ? kK : Tile::kN, kBRows ? Tile::kN : kK> share_b;
  const auto fetch = [&](int64_t k) {
    share_a.fetch(a, kARows ? k : 0, kARows ? 0 : k);
    share_b.fetch(b, kBRows ? k : 0, kBRows ? 0 : k);
  };
  const auto put = [&](int stage) {
    share_a.template put<Tile::kAPitch>(memory.a[stage]);
    share_b.template put<Tile::kBPitch>(memory.b[stage]);
  };
  if (depth <= 0) return;
  fetch(0);
  put(0);
  __syncthreads();
  int stage = 0;
  for (int64_t k = 0; k < depth; k += kK, stage ^= 1) {
    const bool more = k + kK < depth;
    if (more) fetch(k + kK);
    tile.add(memory.a[stage], memory.b[stage]);
    if (more) put(stage ^ 1);
    __syncthreads();
  }
}

}  // namespace moiety::ops::cuda
