// What the kernels that make 8-bit matrices share: a block's largest magnitude, its scale, and
// eight neighbours at a time.
#pragma once

#include <cstdint>

#include <moiety/tensor.h>

#include "core/ops/fp8.h"
#include "core/ops/fp8_number.h"
#include "core/ops/packs.cuh"

namespace moiety::ops {

inline int64_t fp8_blocks(int64_t numbers) { return (numbers + kFp8Block - 1) / kFp8Block; }

/// |x| as bits: their maximum as integers is that of the numbers, and NaN is above all.
MOIETY_HD inline uint32_t magnitude_bits(float x) {
  return moiety::detail::bits_of(x) & 0x7fffffffu;
}
MOIETY_HD inline uint32_t larger(uint32_t a, uint32_t b) { return a < b ? b : a; }

/// The scale of a block and what its numbers are multiplied with.
struct Fp8Scale {
  float scale, inverse;
};
template <class Format>
MOIETY_HD Fp8Scale scale_of(uint32_t largest_bits) {
  constexpr float kTiny = 0x1p-100f;  // below it the inverse would overflow
  const float largest = moiety::detail::float_of(largest_bits);
  if (largest == 0) return {1, 1};
  const float scale = (largest < kTiny ? kTiny : largest) / Format::kLargest;
  return {scale, 1 / scale};
}

#if defined(__CUDACC__)
inline constexpr int kFp8Pack = 8;

/// Eight numbers from `at`, of which the first `left` exist; the others are 0.
template <bool kAligned, class T>
__device__ void load_eight(const T* at, int64_t left, float* to) {
  if (kAligned && left >= kFp8Pack) return load_pack<kFp8Pack>(at, to);
#pragma unroll
  for (int j = 0; j < kFp8Pack; ++j) to[j] = j < left ? static_cast<float>(at[j]) : 0.f;
}

template <class Format>
__device__ Chunk<8> eight_fp8(const float* x, float inverse) {
  Chunk<8> codes;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const uint32_t low = two_fp8<Format>(x[4 * i] * inverse, x[4 * i + 1] * inverse);
    const uint32_t high = two_fp8<Format>(x[4 * i + 2] * inverse, x[4 * i + 3] * inverse);
    codes.word[i] = low | high << 16;
  }
  return codes;
}

/// Code j of eight.
__device__ inline uint8_t code_of(const Chunk<8>& codes, int j) {
  return static_cast<uint8_t>(codes.word[j / 4] >> (8 * (j % 4)));
}

/// Stores the first `left` of eight codes.
template <bool kAligned>
__device__ void store_eight(const Chunk<8>& codes, int64_t left, uint8_t* at) {
  if (kAligned && left >= kFp8Pack) {
    *reinterpret_cast<Chunk<8>*>(at) = codes;
    return;
  }
#pragma unroll
  for (int j = 0; j < kFp8Pack; ++j) {
    if (j < left) at[j] = code_of(codes, j);
  }
}

/// Codes on their way from columns to rows: row c of the tile is a column of x, 128 rows of x long.
/// Padded so that the writes of neighbouring threads fall into different banks.
template <int kColumns>
struct TurnedCodes {
  static constexpr int kPitch = kFp8Block + 4;
  uint8_t code[kColumns * kPitch];

  __device__ void put(int column, int row, const Chunk<8>& codes) {
#pragma unroll
    for (int j = 0; j < kFp8Pack; ++j) code[(column + j) * kPitch + row] = code_of(codes, j);
  }
  /// Stores 16 codes of a column from `row` on, of which the first `left` exist.
  template <bool kAligned>
  __device__ void store_sixteen(int column, int row, int64_t left, uint8_t* at) const {
    const uint8_t* from = code + column * kPitch + row;
    if (kAligned && left >= 16) {
      Chunk<16> codes;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        codes.word[i] = *reinterpret_cast<const uint32_t*>(from + 4 * i);
      }
      *reinterpret_cast<Chunk<16>*>(at) = codes;
      return;
    }
    for (int i = 0; i < 16 && i < left; ++i) at[i] = from[i];
  }
};

/// Calls f(std::true_type{}) where rows of `width` numbers can be read by eight, else false_type.
template <class T, class F>
void with_alignment(Rows<const T> x, int64_t width, const F& f) {
  const auto address = reinterpret_cast<uintptr_t>(x.ptr);
  if (address % 16 == 0 && x.pitch % kFp8Pack == 0 && width % kFp8Pack == 0) {
    f(std::true_type{});
  } else {
    f(std::false_type{});
  }
}
#endif

}  // namespace moiety::ops
