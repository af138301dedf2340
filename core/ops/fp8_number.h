// The 8-bit floats E4M3 and E5M2 (Micikevicius et al., 2022, arXiv:2209.05433), one code for both
// devices: rounded to nearest even, too large values become the largest one, NaN becomes 0x7f.
#pragma once

#include <cstdint>
#include <string>

#include <moiety/tensor.h>

namespace moiety::ops {

/// 4 bits of exponent, 3 of mantissa, no infinity: activations and weights.
struct E4M3 {
  static constexpr DType kType = DType::kF8E4M3;
  static constexpr int kMantissa = 3, kBias = 7;
  static constexpr float kLargest = 448;
  static constexpr uint32_t kLargestCode = 0x7e, kInfinity = 0x7f;  // codes above it: NaN
};
/// 5 bits of exponent, 2 of mantissa, as in binary16: gradients.
struct E5M2 {
  static constexpr DType kType = DType::kF8E5M2;
  static constexpr int kMantissa = 2, kBias = 15;
  static constexpr float kLargest = 57344;
  static constexpr uint32_t kLargestCode = 0x7b, kInfinity = 0x7c;
};

namespace detail {

using moiety::detail::bits_of;
using moiety::detail::float_of;

/// 2^e.
MOIETY_HD constexpr uint32_t power_bits(int e) { return static_cast<uint32_t>(127 + e) << 23; }

template <class Format>
MOIETY_HD uint8_t encode(float x) {
  constexpr int kDropped = 23 - Format::kMantissa;
  const uint32_t u = bits_of(x), sign = (u >> 24) & 0x80u, magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7f;
  if (magnitude >= bits_of(Format::kLargest)) {
    return static_cast<uint8_t>(sign | Format::kLargestCode);
  }
  if (magnitude < power_bits(1 - Format::kBias)) {  // subnormal: let the float adder round
    constexpr uint32_t kUnit = power_bits(1 - Format::kBias + kDropped);
    const float shifted = float_of(magnitude) + float_of(kUnit);
    return static_cast<uint8_t>(sign | (bits_of(shifted) - kUnit));
  }
  constexpr uint32_t kRebias = static_cast<uint32_t>(127 - Format::kBias) << 23;
  const uint32_t odd = (magnitude >> kDropped) & 1u;
  const uint32_t rounded = magnitude - kRebias + (1u << (kDropped - 1)) - 1u + odd;
  return static_cast<uint8_t>(sign | rounded >> kDropped);
}

}  // namespace detail

template <class Format>
MOIETY_HD uint8_t fp8_of(float x) {
  return detail::encode<Format>(x);
}

template <class Format>
MOIETY_HD float float_of_fp8(uint8_t code) {
  const uint32_t sign = uint32_t{code & 0x80u} << 24, rest = code & 0x7fu;
  if (rest >= Format::kInfinity) {
    const bool infinite = Format::kInfinity != 0x7f && rest == Format::kInfinity;
    return detail::float_of(sign | (infinite ? 0x7f800000u : 0x7fc00000u));
  }
  // Rebias, subnormals too.
  const float magnitude = detail::float_of(rest << (23 - Format::kMantissa)) *
                          detail::float_of(detail::power_bits(127 - Format::kBias));
  return detail::float_of(sign | detail::bits_of(magnitude));
}

/// Two neighbours at once, `low` in the lower byte: the card's own conversion where it has one.
template <class Format>
MOIETY_HD uint16_t two_fp8(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  uint16_t both;
  if constexpr (Format::kType == DType::kF8E4M3) {
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(both) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(both) : "f"(high), "f"(low));
  }
  if (low != low) both = static_cast<uint16_t>((both & 0xff00u) | 0x7fu);  // one NaN everywhere
  if (high != high) both = static_cast<uint16_t>((both & 0xffu) | 0x7f00u);
  return both;
#else
  return static_cast<uint16_t>(fp8_of<Format>(low) | fp8_of<Format>(high) << 8);
#endif
}

/// Calls f(E4M3{}) or f(E5M2{}). Throws Error naming `op` for other dtypes.
template <class F>
decltype(auto) with_fp8(DType dtype, const char* op, const F& f) {
  if (dtype == DType::kF8E4M3) return f(E4M3{});
  if (dtype == DType::kF8E5M2) return f(E5M2{});
  throw Error(std::string(op) + ": dtype " + name_of(dtype) + " is not an 8-bit float");
}

}  // namespace moiety::ops
