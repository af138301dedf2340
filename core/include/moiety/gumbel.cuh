// Gumbel(0, 1) noise for choices: adding it to logits samples from their softmax.
#pragma once

#include <cmath>
#include <cstdint>

#include <moiety/exec.h>

namespace moiety {

/// Carried into kernels by value. At the same row and column always the same number.
struct Gumbel {
  Rng draws;
  bool transformed = false;  // `draws` holds the noise itself
  MOIETY_HD float operator()(int64_t row, int64_t column) const {
    const float u = draws.uniform(row, column);
    return transformed ? u : -logf(-logf(u));
  }
};

/// Noise of the purpose "gumbel". A test may bind either the uniform draws ("gumbel") or, so that
/// recorded noise is met bit for bit, the noise itself ("gumbel_noise").
inline Gumbel gumbel(const Exec& exec) {
  const Rng recorded = exec.rng("gumbel_noise");
  if (recorded.bound != nullptr) return {recorded, true};
  return {exec.rng("gumbel"), false};
}

}  // namespace moiety
