// An operand whose rows are named by an index: the producers' threads copy it, 16 bytes at a time,
// to where the copy engine would have put it.
#pragma once

#include <cstdint>

#include "core/ops/sm90/tile_shape.cuh"

namespace moiety::ops::sm90 {

struct IndexedRows {
  const void* data;
  int pitch;  // in pieces of 16 bytes
  int columns;
  const int32_t* row;  // of a slot
};

/// 16 bytes from device to shared memory, or zeros where they do not exist; they count at the next
/// arrive_after_copies.
__device__ inline void copy_piece(uint32_t to, const uint8_t* from, bool exists) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(exists ? 16 : 0)
               : "memory");
}

/// Arrives at the barrier when all earlier copies of this thread have landed.
__device__ inline void arrive_after_copies(Barrier& barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier.address())
               : "memory");
}

/// One thread's share of an operand of kElement bytes an element: 8 threads a row of a box, one row
/// of 16. Slots past the last one of a tile are not copied: nobody keeps what they yield.
template <Major kMajor, int kSize, int kElement>
class GatheredOperand {
 public:
  /// Begins to look up the operand's rows: slots from `slot` on, `count` of them in the tile.
  __device__ void look_up(const IndexedRows& from, int slot, int count) {
    next_count_ = count;
#pragma unroll
    for (int i = 0; i < kShare; ++i)
      row_[i] = from.row[slot + min(first_row() + 16 * i, count - 1)];
  }
  /// Makes the rows looked up last those that copy() copies.
  __device__ void take(const IndexedRows& from) {
#pragma unroll
    for (int i = 0; i < kShare; ++i) at_[i] = row_[i] * from.pitch;
    count_ = next_count_;
  }
  /// Copies the boxes from `column` on.
  __device__ void copy(const IndexedRows& from, int column, uint8_t* to) const {
    const int piece = static_cast<int>(threadIdx.x) % 8;
    const uint32_t here = shared_address(to) + first_row() * 128 + (piece ^ first_row() % 8) * 16;
    const int left = (from.columns - column) * kElement - piece * 16;
    const auto* data = static_cast<const uint8_t*>(from.data) + piece * 16;
    const auto* columns = data + int64_t{column} * kElement;
#pragma unroll
    for (int i = 0; i < kShare; ++i) {
      if (first_row() + 16 * i >= count_) break;
      const int64_t row = int64_t{at_[i]} * 16;
#pragma unroll
      for (int box = 0; box < kBoxes; ++box) {
        const bool exists = left > box * kRowBytes;
        copy_piece(here + i * 16 * kRowBytes + box * kBoxBytes,
                   (exists ? columns + box * kRowBytes : data) + row, exists);
      }
    }
  }

 private:
  static constexpr int kShare = (kMajor == Major::kDepth ? kSize : kBoxWidth) / 16;
  static constexpr int kBoxes = kMajor == Major::kDepth ? 1 : kSize / kBoxWidth;
  static __device__ int first_row() { return static_cast<int>(threadIdx.x) / 8; }
  int row_[kShare], next_count_, count_;
  int at_[kShare];  // where each row begins, in pieces of 16 bytes
};

}  // namespace moiety::ops::sm90
