// How many slots an expert has: one rule for every gate, because the rounding decides.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace moiety {

/// Slots of an expert over `tokens` tokens: `factor` times the even share, rounded up, and at least
/// `least`. `factor` includes the choices a token makes (2 * capacity_factor for top-2).
///
/// DeepSpeed's rule (moe/sharded_moe.py, _capacity): share and factor are rounded to f32, and so is
/// their product before the ceiling. 100 tokens, 2 experts and 1.1 give 55; in f64 it would be 56.
inline int64_t capacity(int64_t tokens, int64_t experts, double factor, int64_t least) {
  const auto share = static_cast<float>(static_cast<double>(tokens) / static_cast<double>(experts));
  const float slots = share * static_cast<float>(factor);
  return std::max(static_cast<int64_t>(std::ceil(slots)), least);
}

}  // namespace moiety
