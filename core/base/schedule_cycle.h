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

  MOIETY_HD double at(int64_t t) const {
    const auto n = static_cast<double>(t + 1);
    const double total = first + second;
    if (static_cast<double>(t) < total) return min + (max - min) * height(n / total, first / total);
    if (decay_rate == 0 || decay_steps == 0) return min;
    return min / (1 + decay_rate * ((n - total) / decay_steps));
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
