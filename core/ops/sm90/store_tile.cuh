// Sums in registers become rows: a warp's 16 rows pass through its own shared memory, 128 bytes of
// each at a time, so that memory sees whole 16-byte pieces of adjacent columns.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/ops/sm90/tile_shape.cuh"

namespace moiety::ops::sm90 {

/// Rows and columns that exist, counted from the warp's first.
struct Bounds {
  int rows, columns;
};

template <class Out>
__device__ inline uint32_t pack(float low, float high) {
  if constexpr (std::is_same_v<Out, __nv_bfloat16>) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return reinterpret_cast<const uint32_t&>(pair);
  } else {
    const __half2 pair = __floats2half2_rn(low, high);
    return reinterpret_cast<const uint32_t&>(pair);
  }
}

template <class Out>
__device__ inline float2 unpack(uint32_t pair) {
  if constexpr (std::is_same_v<Out, __nv_bfloat16>) {
    return __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(pair));
  } else {
    return __half22float2(reinterpret_cast<const __half2&>(pair));
  }
}

/// Where piece `piece` of a staged row lies: permuted so that neither side meets a bank conflict.
template <class Out>
__device__ inline uint32_t staged(int row, int piece) {
  return row * 128 + (piece ^ (sizeof(Out) == 2 ? row % 8 : 2 * (row % 4))) * 16;
}

/// One chunk: 16 rows of 128 bytes from `sums`, the first of the chunk's registers of this thread.
/// Thread 4 r + q holds columns 8 j + 2 q and the next one of rows r and r + 8 (PTX ISA, wgmma).
template <class Out>
__device__ inline void stage_chunk(const float* sums, uint8_t* staging) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (sizeof(Out) == 2) {
#pragma unroll
    for (int j = 0; j < 8; j += 2) {
      const uint32_t to = shared_address(staging + staged<Out>(lane % 16, j + lane / 16));
      const float* s = sums + 4 * j;
      asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to),
                   "r"(pack<Out>(s[0], s[1])), "r"(pack<Out>(s[2], s[3])),
                   "r"(pack<Out>(s[4], s[5])), "r"(pack<Out>(s[6], s[7]))
                   : "memory");
    }
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = lane / 4, q = lane % 4;
      uint8_t* to = staging + q % 2 * 8;
      const float* s = sums + 4 * j;
      *reinterpret_cast<float2*>(to + staged<Out>(row, 2 * j + q / 2)) = {s[0], s[1]};
      *reinterpret_cast<float2*>(to + staged<Out>(row + 8, 2 * j + q / 2)) = {s[2], s[3]};
    }
  }
}

/// Which piece a thread has in turn `turn`: turns go through four groups of rows of a chunk, chunk
/// after chunk.
template <class Staged>
struct TurnPiece {
  static constexpr int kWidth = 128 / sizeof(Staged), kPiece = 16 / sizeof(Staged);
  int row, column;
  __device__ explicit TurnPiece(int turn)
      : row(turn % 4 * 4 + static_cast<int>(threadIdx.x) % 32 / 8),
        column(turn / 4 * kWidth + static_cast<int>(threadIdx.x) % 8 * kPiece) {}
  __device__ bool inside(Bounds bounds) const {
    return row < bounds.rows && column < bounds.columns;
  }
};

/// Hands 16 rows x kN sums of a warp to `finish`, a thread 16 bytes of a row at a time: the sums of
/// columns [c, c + 8), or 4 of f32, and for a gated result those of columns c and kN / 2 + c. Where
/// a finish computes much its loop stays a loop: straight code for all pieces, run once a tile,
/// waits for instructions.
template <class Finish, int kN>
__device__ inline void finish_rows(const float (&sums)[kN / 2], uint8_t* staging, Finish& finish,
                                   Bounds bounds) {
  using Staged = typename Finish::Staged;
  using Piece = TurnPiece<Staged>;
  constexpr int kColumns = Finish::kGated ? kN / 2 : kN, kChunks = kColumns / Piece::kWidth;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto load = [&](int turn) {
    const Piece piece(turn);
    if (piece.inside(bounds)) finish.load(turn % 4, piece.row, piece.column);
  };
  const auto complete = [&](int turn) {
    const Piece piece(turn);
    if (!piece.inside(bounds)) return;
    const uint8_t* at = staging + staged<Staged>(piece.row, lane % 8);
    const uint4 sum = *reinterpret_cast<const uint4*>(at);
    if constexpr (Finish::kGated) {
      finish.finish(turn % 4, piece.row, piece.column, sum,
                    *reinterpret_cast<const uint4*>(at + kStagingBytes));
    } else {
      finish.finish(turn % 4, piece.row, piece.column, sum);
    }
  };
  if constexpr (Finish::kMuchCode) load(0);
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    __syncwarp();
    stage_chunk<Staged>(sums + chunk * Piece::kWidth / 2, staging);
    if constexpr (Finish::kGated) {
      stage_chunk<Staged>(sums + (kColumns + chunk * Piece::kWidth) / 2, staging + kStagingBytes);
    }
    __syncwarp();
    if constexpr (Finish::kMuchCode) {
#pragma unroll 1
      for (int turn = 4 * chunk; turn < 4 * chunk + 4; ++turn) {
        finish.take();
        if (turn + 1 < 4 * kChunks) load(turn + 1);
        complete(turn);
      }
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) load(4 * chunk + i);
#pragma unroll
      for (int i = 0; i < 4; ++i) complete(4 * chunk + i);
    }
  }
  finish.end();
}

}  // namespace moiety::ops::sm90
