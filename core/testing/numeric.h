// Small numeric helpers of the kit, on host vectors.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/testing/report.h"

namespace moiety::testing {

std::vector<float> normal(size_t n, uint32_t seed, float deviation = 1);
/// Bit for bit, so that NaNs compare too.
bool same_bits(const std::vector<float>& a, const std::vector<float>& b);
bool finite(const std::vector<float>& values);
double dot(const std::vector<float>& a, const std::vector<float>& b);
/// Largest |a - b| over the largest |b| (at least 1); infinite where sizes differ.
double difference(const std::vector<float>& a, const std::vector<float>& b);

/// One argument of a loss and the gradient to hold it to.
struct Leaf {
  std::string name;
  std::vector<float>* value;
  std::vector<float> grad;
};

/// Which leaf is wrong and by how much: |<grad, v> - (L(+hv) - L(-hv)) / 2h| over |grad|, for 20
/// random v on every leaf. `loss` reads the leaves' values and says nothing where the plan jumped;
/// such a v, or one that crosses a kink, is drawn again. Skipped where almost every one does.
Verdict judge_gradient(const std::vector<Leaf>& leaves,
                       const std::function<std::optional<double>()>& loss);

}  // namespace moiety::testing
