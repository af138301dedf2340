#include "core/testing/numeric.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

namespace moiety::testing {

std::vector<float> normal(size_t n, uint32_t seed, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution(0, deviation);
  std::vector<float> values(n);
  for (float& x : values) x = distribution(random);
  return values;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

bool finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return INFINITY;
  double top = 1, worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    top = std::max(top, std::abs(static_cast<double>(b[i])));
    const double d = std::abs(static_cast<double>(a[i]) - b[i]);
    worst = d <= worst ? worst : d;  // a NaN stays
  }
  return worst / top;
}

namespace {

constexpr double kStep = 2e-3, kTolerance = 1e-2;
constexpr int kDirections = 20, kFewest = 10, kTrials = 200;

/// The error of one leaf; nothing when the plan jumped in almost every direction.
std::optional<double> leaf_error(const Leaf& leaf, double scale,
                                 const std::function<std::optional<double>()>& loss) {
  const std::vector<float> at = *leaf.value;
  const double middle = loss().value_or(0);
  std::mt19937 random(7);
  std::normal_distribution<double> distribution;
  std::vector<double> v(at.size());
  double worst = 0;
  int used = 0;
  for (int trial = 0; trial < kTrials && used < kDirections; ++trial) {
    double analytic = 0, sides[2] = {0, 0};
    for (size_t i = 0; i < at.size(); ++i) {
      v[i] = distribution(random);
      analytic += v[i] * leaf.grad[i];
    }
    bool smooth = true;
    for (int side = 0; side < 2 && smooth; ++side) {
      const double step = side == 0 ? kStep : -kStep;
      for (size_t i = 0; i < at.size(); ++i) {
        (*leaf.value)[i] = static_cast<float>(at[i] + step * v[i]);
      }
      const auto value = loss();
      smooth = value.has_value();
      sides[side] = value.value_or(0);
    }
    if (!smooth) continue;
    // A kink on the way (relu) bends the line through the three values by as much as it spoils the
    // difference; a wrong gradient does not.
    const double bend = std::abs(sides[0] - 2 * middle + sides[1]) / (2 * kStep) / scale;
    if (bend > kTolerance / 2) continue;
    ++used;
    const double error = std::abs((sides[0] - sides[1]) / (2 * kStep) - analytic) / scale;
    worst = error <= worst ? worst : error;
  }
  *leaf.value = at;
  if (used < kFewest) return std::nullopt;
  return worst;
}

}  // namespace

Verdict judge_gradient(const std::vector<Leaf>& leaves,
                       const std::function<std::optional<double>()>& loss) {
  double all = 1e-12;
  for (const Leaf& leaf : leaves) {
    if (!finite(leaf.grad)) return fmt::format("the gradient of {} is not finite", leaf.name);
    if (leaf.grad.size() != leaf.value->size()) {
      return fmt::format("the gradient of {} has {} elements, expected {}", leaf.name,
                         leaf.grad.size(), leaf.value->size());
    }
    all += dot(leaf.grad, leaf.grad);
  }
  int judged = 0;
  for (const Leaf& leaf : leaves) {
    if (leaf.value->empty()) continue;
    // A leaf that hardly matters is held to a share of the whole, above the noise of f32.
    const double scale = std::max(std::sqrt(dot(leaf.grad, leaf.grad)), 0.02 * std::sqrt(all));
    const auto error = leaf_error(leaf, scale, loss);
    if (!error) continue;
    ++judged;
    if (!(*error < kTolerance)) {
      return fmt::format(
          "the gradient of {} differs from the directional derivative by {:.2g} of "
          "its norm, at most {:g} is allowed",
          leaf.name, *error, kTolerance);
    }
  }
  return judged > 0 ? Verdict("") : Verdict::skip("the plan jumps at every small step");
}

}  // namespace moiety::testing
