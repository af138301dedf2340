// DeepSpeed's OneCycle and LRRangeTest (runtime/lr_schedules.py). t is the number of the
// scheduler's step; -1 before the first.
#pragma once

#include <cmath>
#include <cstdint>

#include <moiety/export.h>

namespace moiety {

/// Up to `max` and back (Smith, 2018, "A disciplined approach to neural network hyper-parameters"),
/// then a decay below `min`.
struct OneCycle {
  double min = 0, max = 0;
  double first = 2000, second = 2000;           // steps up, steps down
  int64_t first_stairs = 0, second_stairs = 0;  // 0 = a straight line
  double decay_rate = 0, decay_steps = 0;       // either 0: `min` from the end of the cycle on
  // The optimizer's first beta falls while the rate rises, and back; its second is kVariance.
  bool momentum = false;
  double min_momentum = 0.8, max_momentum = 0.9, momentum_rate = 0;
  static constexpr double kVariance = 0.99;   // DeepSpeed's, whatever the optimizer was given
  static constexpr double kMost = 0.9999999;  // DeepSpeed lets it pass 1, where Adam divides by 0

  MOIETY_HD double at(int64_t t) const {
    const auto n = static_cast<double>(t + 1);
    const double total = first + second;
    if (static_cast<double>(t) < total) return min + (max - min) * height(n / total, first / total);
    if (decay_rate == 0 || decay_steps == 0) return min;
    return min / (1 + decay_rate * ((n - total) / decay_steps));
  }

  /// DeepSpeed's first update, before its scheduler has stepped, has the least momentum.
  MOIETY_HD double momentum_at(int64_t t) const {
    if (t < 0) return min_momentum;
    const auto n = static_cast<double>(t + 1);
    const double total = first + second;
    if (static_cast<double>(t) < total) {
      return max_momentum - (max_momentum - min_momentum) * height(n / total, first / total);
    }
    if (momentum_rate == 0 || decay_steps == 0) return max_momentum;
    const double risen = max_momentum * (1 + momentum_rate * ((n - total) / decay_steps));
    return risen < kMost ? risen : kMost;
  }

 private:
  MOIETY_HD double height(double progress, double peak) const {
    const double x = 1 + progress - ::floor(1 + progress);
    const bool up = x <= peak;
    const double h = up ? x / peak : (x - 1) / (peak - 1);
    const int64_t stairs = up ? first_stairs : second_stairs;
    if (stairs == 0) return h;
    return ::floor(h * static_cast<double>(stairs)) / static_cast<double>(stairs);
  }
};

/// Rises without end, to see where training breaks (Smith, 2017).
struct LrRangeTest {
  double min = 1e-3, steps = 2000, rate = 1;
  bool staircase = false;

  MOIETY_HD double at(int64_t t) const {
    const double interval = static_cast<double>(t + 1) / steps;
    return min * (1 + rate * (staircase ? ::floor(interval) : interval));
  }
};

}  // namespace moiety
