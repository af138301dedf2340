// What becomes of the sums of a plain product. A Finish sees 16 rows x some columns of a warp, a
// piece of 16 bytes a call, the thread's i-th of four rows: load(i, row, column) ahead of
// finish(i, row, column, sums), at last end(). One of much code (kMuchCode) loads one piece ahead
// and has take() make it current.
#pragma once

#include <cstdint>

#include "core/ops/sm90/store_tile.cuh"

namespace moiety::ops::sm90 {

/// Where a warp's sums belong.
struct Place {
  int64_t row;  // of the result
  int column, expert;
  int column_tile;
  Bounds bounds;
};

/// The staging of a finish that needs no boxes (store_boxes.cuh).
struct NoBoxes {
  uint8_t* staging;
};

/// The sum of two pieces, element by element, in f32.
template <class Out>
__device__ inline uint4 add_pieces(uint4 a, uint4 b) {
  uint4 sum;
  const auto* x = reinterpret_cast<const Out*>(&a);
  const auto* y = reinterpret_cast<const Out*>(&b);
  auto* to = reinterpret_cast<Out*>(&sum);
#pragma unroll
  for (int i = 0; i < static_cast<int>(16 / sizeof(Out)); ++i) {
    to[i] = static_cast<Out>(static_cast<float>(x[i]) + static_cast<float>(y[i]));
  }
  return sum;
}

/// out = or += the sums.
template <class Out>
class StoreSums {
 public:
  using Staged = Out;
  using Boxes = NoBoxes;
  static constexpr bool kGated = false, kMuchCode = false, kBoxes = false;
  static constexpr int kBuffers = 1;
  struct Arguments {
    Out* out;
    int64_t pitch;
    bool accumulate;
  };
  __device__ StoreSums(const Arguments& p, const Place& place)
      : to_(p.out + place.row * p.pitch + place.column), p_(p) {}
  __device__ void load(int i, int row, int column) {
    if (p_.accumulate) before_[i] = *at(row, column);
  }
  __device__ void finish(int i, int row, int column, uint4 sums) {
    *at(row, column) = p_.accumulate ? add_pieces<Out>(before_[i], sums) : sums;
  }
  __device__ void end() {}

 private:
  __device__ uint4* at(int row, int column) const {
    return reinterpret_cast<uint4*>(to_ + row * p_.pitch + column);
  }
  Out* to_;
  const Arguments& p_;
  uint4 before_[4];
};

}  // namespace moiety::ops::sm90
