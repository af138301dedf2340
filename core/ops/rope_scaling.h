// How fast each pair of rotary positions turns, plain or stretched for longer contexts.
#pragma once

#include <cmath>
#include <cstdint>

#include <moiety/export.h>

namespace moiety::ops {

/// A rule that changes the frequencies theta^(-2 i / n) of pairs i < n / 2, as
/// transformers' modeling_rope_utils.py has them.
struct RopeScaling {
  enum class Kind : uint8_t {
    kNone,
    kLinear,  // all slower by `factor` (Chen et al., 2023)
    kLlama3,  // by wavelength: long ones slower by `factor`, those between mixed (Llama 3.1)
    kYarn,    // by pair: a ramp from `low` to `high` (Peng et al., 2023, eq. 17-20)
  };
  Kind kind = Kind::kNone;
  double factor = 1;
  double low = 0,
         high = 1;       // kLlama3: wavelengths at the ends of the mix, high < low; kYarn: pairs
  double magnitude = 1;  // of cosine and sine
};

/// Radians a position, of pair i of `half`.
MOIETY_HD inline double rope_frequency(const RopeScaling& s, double theta, double i, double half) {
  constexpr double kTurn = 6.283185307179586;
  const double plain = pow(theta, -i / half), slow = plain / s.factor;
  if (s.kind == RopeScaling::Kind::kLinear) return slow;
  if (s.kind == RopeScaling::Kind::kLlama3) {
    const double length = kTurn / plain;
    if (length > s.low) return slow;
    if (length < s.high) return plain;
    // original / length runs from low_freq_factor to high_freq_factor.
    const double part = (1 / length - 1 / s.low) / (1 / s.high - 1 / s.low);
    return (1 - part) * slow + part * plain;
  }
  if (s.kind == RopeScaling::Kind::kYarn) {
    const double ramp = (i - s.low) / (s.high - s.low);
    const double part = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    return part * slow + (1 - part) * plain;
  }
  return plain;
}

}  // namespace moiety::ops
