// Megatron's OptimizerParamScheduler (core/optimizer_param_scheduler.py) and, for tokens,
// Megatron-DeepSpeed's. Progress is counted in units: samples, or tokens.
#pragma once

#include <cmath>
#include <cstdint>

#include <moiety/export.h>

namespace moiety {

enum class MegatronStyle : uint8_t { kConstant, kLinear, kCosine, kInverseSquareRoot, kWsd };
enum class WsdDecay : uint8_t { kLinear, kCosine, kExponential, kMinusSqrt };

struct MegatronSchedule {
  MegatronStyle style = MegatronStyle::kLinear;
  WsdDecay wsd_style = WsdDecay::kExponential;
  double peak = 1e-3, min = 0, init = 0;
  double per_update = 1;                   // units that one update adds
  double warmup = 0, decay = 1, last = 0;  // units; `last`: those at the end in which WSD decays
  int64_t lag = 0;  // updates by which the count is late: Megatron-DeepSpeed counts tokens after
                    // the schedule's step

  /// Rate of update 1, 2, ...: of the units before it, so that the first one runs at `init`.
  MOIETY_HD double at(int64_t update) const {
    const int64_t seen = update - 1 - lag;
    const double n = seen > 0 ? static_cast<double>(seen) * per_update : 0;
    if (warmup > 0 && n <= warmup) return init + (peak - init) * n / warmup;
    if (style == MegatronStyle::kConstant) return peak;
    if (n > decay) return min;
    if (style == MegatronStyle::kInverseSquareRoot) {
      const double rate = peak * ::sqrt(warmup > 1 ? warmup : 1) / ::sqrt(n > 1 ? n : 1);
      return rate > min ? rate : min;
    }
    return min + share(n) * (peak - min);
  }

 private:
  MOIETY_HD static double cosine(double r) { return 0.5 * (::cos(3.14159265358979323846 * r) + 1); }

  MOIETY_HD double share(double n) const {
    if (style == MegatronStyle::kWsd) return wsd_share(n);
    const double r = (n - warmup) / (decay - warmup);
    return style == MegatronStyle::kCosine ? cosine(r) : 1 - r;
  }
  MOIETY_HD double wsd_share(double n) const {
    const double begin = decay - last;
    if (n <= begin) return 1;
    const double r = (n - begin) / last;
    switch (wsd_style) {
      case WsdDecay::kLinear: return 1 - r;
      case WsdDecay::kCosine: return cosine(r);
      case WsdDecay::kExponential: return 2 * ::pow(0.5, r) - 1;
      case WsdDecay::kMinusSqrt: return 1 - ::sqrt(r);
    }
    return 0;
  }
};

}  // namespace moiety
