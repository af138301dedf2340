#include "core/train/schedule.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace moiety {

namespace {

template <class T>
T option(const OptionMap& options, std::string_view name, T fallback) {
  const Value* value = find_option(options, name);
  if (value == nullptr) return fallback;
  return std::visit(
      [&](const auto& x) -> T {
        using X = std::decay_t<decltype(x)>;
        if constexpr (std::is_same_v<X, T>) return x;
        if constexpr (std::is_arithmetic_v<X> && std::is_arithmetic_v<T>) return static_cast<T>(x);
        throw ConfigError(fmt::format("scheduler.params.{} has another type", name));
      },
      *value);
}

}  // namespace

Schedule make_schedule(const RunConfig& config) {
  const OptionMap& o = config.scheduler_options;
  Schedule s;
  s.base = config.base_lr;
  s.warmup = std::max<int64_t>(2, option<int64_t>(o, "warmup_num_steps", 1000));
  s.total = option<int64_t>(o, "total_num_steps", 0);
  s.log_warmup = option<std::string>(o, "warmup_type", "log") == "log";
  s.min = option<double>(o, "warmup_min_lr", 0);
  if (config.scheduler_type == "WarmupLR") {
    s.kind = ScheduleKind::kWarmup;
    s.max = option<double>(o, "warmup_max_lr", config.base_lr);
  } else if (config.scheduler_type == "WarmupDecayLR") {
    s.kind = ScheduleKind::kWarmupDecay;
    s.max = option<double>(o, "warmup_max_lr", 0.001);
  } else if (config.scheduler_type == "WarmupCosineLR") {
    s.kind = ScheduleKind::kWarmupCosine;
    s.min = option<double>(o, "warmup_min_ratio", 0);
    s.cos_min = option<double>(o, "cos_min_ratio", 1e-4);
  } else if (!config.scheduler_type.empty() && config.scheduler_type != "constant") {
    throw ConfigError(fmt::format(
        "scheduler.type: no schedule '{}'; there are WarmupLR, WarmupDecayLR, WarmupCosineLR, "
        "constant",
        config.scheduler_type));
  }
  return s;
}

LossScaler make_loss_scaler(const RunConfig& config) {
  LossScaler s;
  if (config.precision != Precision::kF16) return s;
  const Fp16Config& f = config.fp16;
  s.dynamic = f.loss_scale == 0;
  s.scale = s.dynamic ? std::exp2(static_cast<double>(f.initial_scale_power)) : f.loss_scale;
  s.window = f.loss_scale_window;
  s.hysteresis = s.hysteresis_left = f.hysteresis;
  s.consecutive_hysteresis = f.consecutive_hysteresis;
  s.min_scale = f.min_loss_scale;
  return s;
}

}  // namespace moiety
