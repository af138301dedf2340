#include "core/bench/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace moiety::bench {

namespace {

constexpr int64_t kCompared = int64_t{1} << 26;  // elements of a tensor that are compared

double relative_error(const std::vector<float>& got, const std::vector<float>& expected) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double d = static_cast<double>(got[i]) - static_cast<double>(expected[i]);
    error += d * d;
    norm += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
  }
  return std::sqrt(error / std::max(norm, 1e-300));  // NaN stays
}

std::vector<TensorView> compared(const TensorView& tensor) {
  if (tensor.numel() <= kCompared) return {tensor};
  return {tensor.slice(0, 0, 1), tensor.slice(0, tensor.dim(0) - 1, 1)};
}

}  // namespace

void Comparison::add(const std::string& name, Ground& ground, const TensorView& got,
                     Ground& of_reference, const TensorView& expected) {
  const std::vector<TensorView> mine = compared(got), its = compared(expected);
  double error = 0;
  for (size_t i = 0; i < mine.size(); ++i) {
    const double e = relative_error(ground.floats(mine[i]), of_reference.floats(its[i]));
    if (!(e <= error)) error = e;
  }
  text_ += fmt::format("{}{} {:.1e}", text_.empty() ? "" : ", ", name, error);
  if (!(error <= worst_)) worst_ = error;
}

}  // namespace moiety::bench
