// Row by row work on a GPU in 16-byte packs: a warp takes neighbouring packs of one row, loads all
// of them, finds the row's segment, and then writes.
//
//   template <class T, int kWidth>
//   struct Scale {
//     static constexpr int kPack = kWidth;
//     struct Values { float x[kWidth]; };
//     __device__ Values load(int64_t row, int64_t column) const;
//     __device__ void store(int64_t row, int64_t column, int64_t segment, Values& values) const;
//   };
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/ops/packs.cuh"
#include "core/ops/segments.cuh"

#if defined(__CUDACC__)

namespace moiety::ops {

/// Every row counts, as segment 0.
struct AllRows {
  __device__ int64_t find(int64_t) const { return 0; }
};

/// The segment of a row, or -1 in padding; all lanes of a warp ask for the same row.
struct RowsInSegments {
  SegmentLookup segments;
  __device__ int64_t find(int64_t row) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const auto n = static_cast<int32_t>(row);
    for (int64_t base = 0; base < segments.G; base += 32) {
      const int64_t g = base + lane;
      const bool here =
          g < segments.G && n >= segments.start[g] && n - segments.start[g] < segments.count[g];
      const unsigned lanes = __ballot_sync(0xffffffffu, here);
      if (lanes != 0) return base + __ffs(static_cast<int>(lanes)) - 1;
    }
    return -1;
  }
};

inline constexpr int kPackRowThreads = 256, kPacksOfLane = 2;

template <class Slots, class F>
__global__ void __launch_bounds__(kPackRowThreads)
    pack_rows_kernel(Slots slots, F f, int64_t rows, int64_t columns, uint32_t pieces) {
  constexpr int64_t kColumns = int64_t{32} * F::kPack * kPacksOfLane;  // of a piece
  const int64_t warp = (int64_t{blockIdx.x} * kPackRowThreads + threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t row = warp / pieces;
  if (row >= rows) return;
  const int64_t begin = (warp - row * pieces) * kColumns + lane * F::kPack;
  typename F::Values values[kPacksOfLane];
#pragma unroll
  for (int i = 0; i < kPacksOfLane; ++i) {
    const int64_t c = begin + int64_t{32} * i * F::kPack;
    if (c < columns) values[i] = f.load(row, c);
  }
  const int64_t segment = slots.find(row);
  if (segment < 0) return;
#pragma unroll
  for (int i = 0; i < kPacksOfLane; ++i) {
    const int64_t c = begin + int64_t{32} * i * F::kPack;
    if (c < columns) f.store(row, c, segment, values[i]);
  }
}

/// f on every pack of `columns` (a multiple of F::kPack) of every row that `slots` knows.
template <class Slots, class F>
void for_each_pack(Exec& exec, const Slots& slots, int64_t rows, int64_t columns, const F& f) {
  constexpr int64_t kColumns = int64_t{32} * F::kPack * kPacksOfLane;
  if (rows == 0 || columns == 0) return;
  const int64_t pieces = (columns + kColumns - 1) / kColumns;
  const int64_t blocks = (rows * pieces * 32 + kPackRowThreads - 1) / kPackRowThreads;
  pack_rows_kernel<<<static_cast<unsigned>(blocks), kPackRowThreads, 0,
                     static_cast<cudaStream_t>(exec.stream())>>>(slots, f, rows, columns,
                                                                 static_cast<uint32_t>(pieces));
}

/// The width of a pack of T: wide where all views allow it, else 1. Calls f with it as a constant.
template <class T, class F>
void with_pack(bool wide, const F& f) {
  if (wide) {
    f(std::integral_constant<int, kPackOf<T>>{});
  } else {
    f(std::integral_constant<int, 1>{});
  }
}

/// out = f(in) element by element, f a struct with a MOIETY_HD call.
template <class T, int kWidth, class Function>
struct MapPack {
  static constexpr int kPack = kWidth;
  struct Values {
    float x[kWidth];
  };
  Rows<const T> in;
  Rows<T> out;
  Function function;
  __device__ Values load(int64_t row, int64_t c) const {
    Values v;
    load_pack<kWidth>(in[row] + c, v.x);
    return v;
  }
  __device__ void store(int64_t row, int64_t c, int64_t, Values& v) const {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) v.x[i] = function(v.x[i]);
    store_pack<kWidth>(v.x, out[row] + c);
  }
};

}  // namespace moiety::ops

#endif
