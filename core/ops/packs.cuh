// Neighbouring elements that a GPU thread loads and stores at once, as floats: 16 bytes where
// pointers and pitches allow it, one element otherwise.
#pragma once

#include <cstdint>
#include <initializer_list>

#include <moiety/tensor.h>

namespace moiety::ops {

/// How many elements of T make 16 bytes.
template <class T>
inline constexpr int kPackOf = 16 / static_cast<int>(sizeof(T));

/// Whether rows of `width` elements of T at `at`, `pitch` elements apart, can be read 16 bytes at a
/// time. An empty view can.
template <class T>
bool packed(Rows<T> rows, int64_t width) {
  const auto address = reinterpret_cast<uintptr_t>(rows.ptr);
  return address % 16 == 0 && rows.pitch % kPackOf<T> == 0 && width % kPackOf<T> == 0;
}
inline bool packed(const float* vector, int64_t width) {
  return packed(Rows<const float>{vector, 0}, width);
}

#if defined(__CUDACC__)
/// Bytes that travel together.
template <int kBytes>
struct alignas(kBytes) Chunk {
  uint32_t word[kBytes / 4];
};

__device__ inline uint32_t two_bf16(float low, float high) {
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
__device__ inline uint32_t two_f16(float low, float high) {
  uint32_t both;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}

template <int kWidth>
__device__ inline void load_pack(const float* at, float* to) {
  if constexpr (kWidth % 4 == 0) {
#pragma unroll
    for (int i = 0; i < kWidth / 4; ++i) {
      const float4 four = reinterpret_cast<const float4*>(at)[i];
      to[4 * i] = four.x, to[4 * i + 1] = four.y, to[4 * i + 2] = four.z, to[4 * i + 3] = four.w;
    }
  } else {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) to[i] = at[i];
  }
}

/// A 16-bit type: kWidth of them, aligned to their size together.
template <int kWidth, class T>
__device__ inline void load_pack(const T* at, float* to) {
  static_assert(sizeof(T) == 2);
  if constexpr (kWidth % 2 == 0) {
    const auto chunk = *reinterpret_cast<const Chunk<2 * kWidth>*>(at);
#pragma unroll
    for (int i = 0; i < kWidth / 2; ++i) {
      T low, high;
      low.bits = static_cast<uint16_t>(chunk.word[i] & 0xffffu);
      high.bits = static_cast<uint16_t>(chunk.word[i] >> 16);
      to[2 * i] = low, to[2 * i + 1] = high;
    }
  } else {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) to[i] = at[i];
  }
}

template <int kWidth>
__device__ inline void store_pack(const float* from, float* at) {
  if constexpr (kWidth % 4 == 0) {
#pragma unroll
    for (int i = 0; i < kWidth / 4; ++i) {
      reinterpret_cast<float4*>(at)[i] =
          make_float4(from[4 * i], from[4 * i + 1], from[4 * i + 2], from[4 * i + 3]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) at[i] = from[i];
  }
}

__device__ inline uint32_t two(BFloat16, float low, float high) { return two_bf16(low, high); }
__device__ inline uint32_t two(Float16, float low, float high) { return two_f16(low, high); }

template <int kWidth, class T>
__device__ inline void store_pack(const float* from, T* at) {
  static_assert(sizeof(T) == 2);
  if constexpr (kWidth % 2 == 0) {
    Chunk<2 * kWidth> chunk;
#pragma unroll
    for (int i = 0; i < kWidth / 2; ++i) chunk.word[i] = two(T{}, from[2 * i], from[2 * i + 1]);
    *reinterpret_cast<Chunk<2 * kWidth>*>(at) = chunk;
  } else {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) at[i] = T(from[i]);
  }
}
#endif

}  // namespace moiety::ops
