// Directional derivatives against gradients, tensor by tensor.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace moiety {

/// A loss as a function of one tensor. `routing` says which plan the last loss was taken with:
/// across a jump of the plan there is no derivative.
struct Differentiable {
  std::function<void(const std::vector<float>&)> set;
  std::function<double()> loss;
  std::function<std::vector<float>()> routing;
};

/// gradient / |gradient| plus a random unit vector.
inline std::vector<double> direction(const std::vector<float>& gradient, double norm,
                                     unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> v(gradient.size());
  double length = 0;
  for (double& x : v) x = normal(random), length += x * x;
  for (size_t i = 0; i < v.size(); ++i) {
    v[i] /= std::sqrt(length);
    if (norm > 0) v[i] += static_cast<double>(gradient[i]) / norm;
  }
  return v;
}

/// Compares <gradient, v> with central differences along v around `at`. Where the plan jumps,
/// another direction and a smaller step are tried.
inline void check_gradient(const std::string& name, const std::vector<float>& at,
                           const std::vector<float>& gradient, const Differentiable& f, double step,
                           double tolerance) {
  double norm = 0;
  for (const float g : gradient) norm += static_cast<double>(g) * static_cast<double>(g);
  norm = std::sqrt(norm);
  ASSERT_TRUE(std::isfinite(norm)) << name;
  ASSERT_GT(norm, 1e-6) << name << " has no gradient";
  f.loss();
  const std::vector<float> plan = f.routing();
  for (unsigned attempt = 0; attempt < 8; ++attempt, step *= 0.6) {
    const std::vector<double> v = direction(gradient, norm, 17 + attempt);
    double expected = 0;
    for (size_t i = 0; i < v.size(); ++i) expected += v[i] * static_cast<double>(gradient[i]);
    bool jumped = false;
    const auto moved = [&](double by) {
      std::vector<float> x(at);
      for (size_t i = 0; i < x.size(); ++i) x[i] += static_cast<float>(by * v[i]);
      f.set(x);
      const double loss = f.loss();
      jumped |= f.routing() != plan;
      return loss;
    };
    const double numeric = (moved(step) - moved(-step)) / (2 * step);
    f.set(at);
    if (jumped) continue;
    EXPECT_NEAR(numeric, expected, tolerance * norm + 5e-4) << name << ", |gradient| " << norm;
    return;
  }
  ADD_FAILURE() << name << ": the plan jumps in every direction tried";
}

}  // namespace moiety
