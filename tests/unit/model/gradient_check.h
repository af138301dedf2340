// Directional derivatives against gradients, tensor by tensor.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace moiety {

/// Compares <gradient, v> with central differences of `loss` along v = gradient / |gradient| plus a
/// random unit vector, around `at`. `set` writes a value of the tensor.
inline void check_gradient(const std::string& name, const std::vector<float>& at,
                           const std::vector<float>& gradient,
                           const std::function<void(const std::vector<float>&)>& set,
                           const std::function<double()>& loss, double step = 1e-2,
                           double tolerance = 1e-2) {
  double norm = 0;
  for (const float g : gradient) norm += static_cast<double>(g) * g;
  norm = std::sqrt(norm);
  ASSERT_TRUE(std::isfinite(norm)) << name;
  std::mt19937 random(17);
  std::normal_distribution<double> normal;
  std::vector<double> v(at.size());
  double length = 0;
  for (double& x : v) x = normal(random), length += x * x;
  double expected = 0;
  for (size_t i = 0; i < v.size(); ++i) {
    v[i] /= std::sqrt(length);
    if (norm > 0) v[i] += static_cast<double>(gradient[i]) / norm;
    expected += v[i] * static_cast<double>(gradient[i]);
  }
  const auto moved = [&](double by) {
    std::vector<float> x(at);
    for (size_t i = 0; i < x.size(); ++i) x[i] += static_cast<float>(by * v[i]);
    set(x);
    return loss();
  };
  const double numeric = (moved(step) - moved(-step)) / (2 * step);
  set(at);
  EXPECT_NEAR(numeric, expected, tolerance * norm + 2e-4) << name << ", |gradient| " << norm;
}

}  // namespace moiety
