// How far results are from a reference, before anything is timed.
#pragma once

#include <string>
#include <vector>

#include "core/bench/ground.h"

namespace moiety::bench {

/// The largest error of a result that is still called right, as a share of the result's norm.
inline constexpr double kTolerance = 2e-2;
/// The same where products run in FP8: four of them in a row, each off by 3 to 6 %.
inline constexpr double kFp8Tolerance = 0.15;

/// Errors by name, each as a share of the reference's norm.
class Comparison {
 public:
  explicit Comparison(double tolerance = kTolerance) : tolerance_(tolerance) {}
  /// Two tensors of one shape, of any float type. Of large ones the first and the last slice count.
  void add(const std::string& name, Ground& ground, const TensorView& got, Ground& of_reference,
           const TensorView& expected);
  bool right() const { return worst_ <= tolerance_; }
  double tolerance() const { return tolerance_; }
  /// "output 3.1e-03, dx 4.0e-03"
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  double tolerance_, worst_ = 0;
};

}  // namespace moiety::bench
