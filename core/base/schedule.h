// Learning rates as DeepSpeed's lr_schedules.py and Megatron's scheduler define them. A plain
// struct and a function that runs on either device, so that a captured step computes its own rate.
#pragma once

#include <cmath>
#include <cstdint>

#include <moiety/export.h>

#include "core/base/schedule_cycle.h"
#include "core/base/schedule_megatron.h"

namespace moiety {

enum class ScheduleKind : uint8_t {
  kConstant,
  kWarmup,
  kWarmupDecay,
  kWarmupCosine,
  kOneCycle,
  kRangeTest,
  kMegatron
};

struct Schedule {
  ScheduleKind kind = ScheduleKind::kConstant;
  double base = 1e-3;       // optimizer.params.lr
  double min = 0, max = 0;  // warmup_min_lr, warmup_max_lr; min alone, a ratio, for kWarmupCosine
  double cos_min = 0;       // cos_min_ratio
  int64_t warmup = 2, total = 0;
  bool log_warmup = true;
  OneCycle cycle = {};             // kOneCycle
  LrRangeTest range = {};          // kRangeTest
  MegatronSchedule megatron = {};  // kMegatron

  /// Rate of update n = 1, 2, ... : DeepSpeed's f(n - 2), since its first step runs with f(-1).
  MOIETY_HD double at(int64_t update) const {
    const int64_t t = update - 2;
    switch (kind) {
      case ScheduleKind::kConstant: return base;
      case ScheduleKind::kOneCycle: return cycle.at(t);
      case ScheduleKind::kRangeTest: return range.at(t);
      case ScheduleKind::kMegatron: return megatron.at(update);
      case ScheduleKind::kWarmupCosine: return t < 0 ? 0.0 : base * cosine_ratio(t);
      default: return t < 0 ? min : min + (max - min) * share(t);
    }
  }

  /// Whether updates have betas of their own, and the first of update n.
  MOIETY_HD bool moves_betas() const { return kind == ScheduleKind::kOneCycle && cycle.momentum; }
  MOIETY_HD double first_beta(int64_t update) const { return cycle.momentum_at(update - 2); }

 private:
  MOIETY_HD double warm(int64_t t) const {
    const auto n = static_cast<double>(t), w = static_cast<double>(warmup);
    return log_warmup ? ::log(n + 1) / ::log(w) : n / w;
  }
  MOIETY_HD double share(int64_t t) const {
    if (t < warmup) return warm(t);
    if (kind == ScheduleKind::kWarmup) return 1;
    const int64_t decay = total - warmup > 1 ? total - warmup : 1;
    const double left = static_cast<double>(total - t) / static_cast<double>(decay);
    return left > 0 ? left : 0;
  }
  MOIETY_HD double cosine_ratio(int64_t t) const {
    if (t < warmup) return min + (1 - min) * warm(t);
    const int64_t length = total - warmup > 1 ? total - warmup : 1;
    const double done = static_cast<double>(t - warmup + 1) / static_cast<double>(length);
    const double p = done < 1 ? done : 1;
    const double ratio = cos_min + (1 - cos_min) * (1 + ::cos(3.14159265358979323846 * p)) / 2;
    return ratio > 0 ? ratio : 0;
  }
};

}  // namespace moiety
