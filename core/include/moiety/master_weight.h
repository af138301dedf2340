// An f32 master weight and the 16-bit value that a model reads. Both ways of keeping them, an f32
// word beside the value or the 16 bits below a bf16 value, hold the same numbers.
#pragma once

#include <cstdint>

#include <moiety/tensor.h>

namespace moiety {

/// The value of a master. bf16: the nearest, away from zero where two are as near, so that 16 bits
/// more give the master back; a tie to even would leave them 65537 masters for an even value.
template <class T>
MOIETY_HD inline T value_of_master(float master) {
  return static_cast<T>(master);
}
template <>
MOIETY_HD inline BFloat16 value_of_master<BFloat16>(float master) {
  const uint32_t bits = detail::bits_of(master);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  BFloat16 value;
  value.bits = static_cast<uint16_t>(nan ? (bits >> 16) | 0x40u : (bits + 0x8000u) >> 16);
  return value;
}

/// The bits below value_of_master<BFloat16>(master), as a distance from it in two's complement. Of
/// a NaN the value alone is kept.
MOIETY_HD inline uint16_t low_of_master(float master) {
  const uint32_t bits = detail::bits_of(master);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<uint16_t>(nan ? 0u : bits & 0xffffu);
}

/// The master whose value and low bits these are, to the last bit.
MOIETY_HD inline float joined_master(BFloat16 value, uint16_t low) {
  const auto distance = static_cast<uint32_t>(static_cast<int32_t>(static_cast<int16_t>(low)));
  return detail::float_of((uint32_t{value.bits} << 16) + distance);
}

}  // namespace moiety
