// Learning rates as DeepSpeed's lr_schedules.py defines them. A plain struct and a function that
// runs on either device, so that a captured step computes its own rate.
#pragma once

#include <cstdint>

#include <moiety/export.h>
#include <moiety/options.h>

#include "core/config/run_config.h"

namespace moiety {

enum class ScheduleKind : uint8_t { kConstant, kWarmup, kWarmupDecay, kWarmupCosine };

struct Schedule {
  ScheduleKind kind = ScheduleKind::kConstant;
  double base = 1e-3;       // optimizer.params.lr
  double min = 0, max = 0;  // warmup_min_lr, warmup_max_lr; ratios for kWarmupCosine
  double cos_min = 0;
  int64_t warmup = 2, total = 0;
  bool log_warmup = true;

  /// Rate of update n = 1, 2, ... : DeepSpeed's f(n - 2), since its first step runs with f(-1).
  MOIETY_HD double at(int64_t update) const;
};

/// From `scheduler: {type, params}`.
MOIETY_API Schedule make_schedule(const RunConfig& config);

}  // namespace moiety
