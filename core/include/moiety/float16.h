// Storage types of 16 bits that kernels and host code share. Arithmetic happens in float.
#pragma once

#include <bit>
#include <cstdint>

#include <moiety/export.h>

namespace moiety {

namespace detail {

MOIETY_HD inline uint32_t bits_of(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  return std::bit_cast<uint32_t>(x);
#endif
}

MOIETY_HD inline float float_of(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return std::bit_cast<float>(bits);
#endif
}

}  // namespace detail

/// The upper half of a float; rounded to nearest even, NaN stays NaN.
struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  MOIETY_HD explicit BFloat16(float x) {
    const uint32_t u = detail::bits_of(x);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    bits = static_cast<uint16_t>(nan ? (u >> 16) | 0x40u : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  MOIETY_HD operator float() const { return detail::float_of(uint32_t{bits} << 16); }  // NOLINT
};

/// IEEE binary16; rounded to nearest even, overflows to infinity.
struct Float16 {
  uint16_t bits = 0;
  Float16() = default;
  MOIETY_HD explicit Float16(float x) {
#if defined(__CUDA_ARCH__)
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#else
    const uint32_t u = detail::bits_of(x), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    if (magnitude >= 0x47800000u) {  // too large, infinite or NaN
      bits = static_cast<uint16_t>(sign | 0x7c00u | (magnitude > 0x7f800000u ? 0x200u : 0u));
    } else if (magnitude < 0x38800000u) {  // subnormal: let the float adder round
      const float shifted = detail::float_of(magnitude) + 0.5f;
      bits = static_cast<uint16_t>(sign | (detail::bits_of(shifted) - 0x3f000000u));
    } else {
      const uint32_t odd = (magnitude >> 13) & 1u;
      bits = static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
    }
#endif
  }
  MOIETY_HD operator float() const {  // NOLINT: reads as a number
#if defined(__CUDA_ARCH__)
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
#else
    const uint32_t sign = uint32_t{bits & 0x8000u} << 16, rest = bits & 0x7fffu;
    if (rest >= 0x7c00u) return detail::float_of(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    const float magnitude = detail::float_of(rest << 13) * 0x1p112f;  // rebias, subnormals too
    return detail::float_of(sign | detail::bits_of(magnitude));
#endif
  }
};

}  // namespace moiety
