#include "core/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <utility>

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

OneCycle one_cycle(const OptionMap& o) {
  OneCycle c;
  c.min = option<double>(o, "cycle_min_lr", 0);
  c.max = option<double>(o, "cycle_max_lr", 0);
  c.first = option<double>(o, "cycle_first_step_size", 2000);
  c.second = option<double>(o, "cycle_second_step_size", 0);
  if (c.second == 0) c.second = c.first;
  c.first_stairs = option<int64_t>(o, "cycle_first_stair_count", 0);
  c.second_stairs = option<int64_t>(o, "cycle_second_stair_count", -1);
  if (c.second_stairs < 0) c.second_stairs = c.first_stairs;
  c.decay_rate = option<double>(o, "decay_lr_rate", 0);
  c.decay_steps = option<double>(o, "decay_step_size", 0);
  c.momentum = option<bool>(o, "cycle_momentum", false);
  c.min_momentum = option<double>(o, "cycle_min_mom", 0.8);
  c.max_momentum = option<double>(o, "cycle_max_mom", 0.9);
  c.momentum_rate = option<double>(o, "decay_mom_rate", 0);
  return c;
}

LrRangeTest range_test(const OptionMap& o) {
  LrRangeTest t;
  t.min = option<double>(o, "lr_range_test_min_lr", 1e-3);
  t.steps = option<double>(o, "lr_range_test_step_size", 2000);
  t.rate = option<double>(o, "lr_range_test_step_rate", 1);
  t.staircase = option<bool>(o, "lr_range_test_staircase", false);
  return t;
}

template <class T>
T choose(const std::string& name, std::initializer_list<std::pair<const char*, T>> choices) {
  for (const auto& [text, value] : choices) {
    if (name == text) return value;
  }
  throw ConfigError(fmt::format("scheduler.params: no style '{}'", name));
}

/// In samples, as Megatron counts iterations too: inverse-square-root depends on it.
MegatronSchedule megatron(const RunConfig& config) {
  const OptionMap& o = config.scheduler_options;
  using Style = MegatronStyle;
  MegatronSchedule s;
  s.style = choose<Style>(option<std::string>(o, "lr_decay_style", "linear"),
                          {{"constant", Style::kConstant},
                           {"linear", Style::kLinear},
                           {"cosine", Style::kCosine},
                           {"inverse-square-root", Style::kInverseSquareRoot},
                           {"WSD", Style::kWsd}});
  s.wsd_style = choose<WsdDecay>(option<std::string>(o, "lr_wsd_decay_style", "exponential"),
                                 {{"linear", WsdDecay::kLinear},
                                  {"cosine", WsdDecay::kCosine},
                                  {"exponential", WsdDecay::kExponential},
                                  {"minus_sqrt", WsdDecay::kMinusSqrt}});
  s.peak = config.base_lr;
  s.min = option<double>(o, "min_lr", 0);
  s.init = option<double>(o, "lr_warmup_init", 0);
  const auto samples = static_cast<double>(config.train_batch_size);
  const auto length = [&o, samples, &s](const std::string& part) {
    const auto tokens = option<double>(o, part + "_tokens", 0);
    if (tokens > 0) s.lag = 1;
    const auto iterations = option<double>(o, part + "_iters", 0);
    return iterations > 0 ? iterations * samples : tokens + option<double>(o, part + "_samples", 0);
  };
  s.decay = length("lr_decay");
  s.warmup = length("lr_warmup");
  s.last = length("lr_wsd_decay");
  const auto fraction = option<double>(o, "lr_warmup_fraction", 0);
  if (fraction > 0) s.warmup = fraction * s.decay;
  s.per_update = samples;
  if (s.lag > 0) s.per_update *= static_cast<double>(config.model.sequence_length);
  return s;
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
  const std::string& type = config.scheduler_type;
  if (type == "WarmupLR") {
    s.kind = ScheduleKind::kWarmup;
    s.max = option<double>(o, "warmup_max_lr", config.base_lr);
  } else if (type == "WarmupDecayLR") {
    s.kind = ScheduleKind::kWarmupDecay;
    s.max = option<double>(o, "warmup_max_lr", 0.001);
  } else if (type == "WarmupCosineLR") {
    s.kind = ScheduleKind::kWarmupCosine;
    s.min = option<double>(o, "warmup_min_ratio", 0);
    s.cos_min = option<double>(o, "cos_min_ratio", 1e-4);
  } else if (type == "OneCycle") {
    s.kind = ScheduleKind::kOneCycle;
    s.cycle = one_cycle(o);
  } else if (type == "LRRangeTest") {
    s.kind = ScheduleKind::kRangeTest;
    s.range = range_test(o);
  } else if (type == "Megatron") {
    s.kind = ScheduleKind::kMegatron;
    s.megatron = megatron(config);
  } else if (!type.empty() && type != "constant") {
    throw ConfigError(fmt::format(
        "scheduler.type: no schedule '{}'; there are constant, WarmupLR, WarmupDecayLR, "
        "WarmupCosineLR, OneCycle, LRRangeTest, Megatron",
        type));
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
  s.raise_at_min = f.raise_error_at_min_scale;
  return s;
}

LossScaler resumed_loss_scaler(const RunConfig& config, const LossScaler& saved) {
  LossScaler s = make_loss_scaler(config);
  if (!s.dynamic || !saved.dynamic) return s;
  s.scale = std::max(saved.scale, s.min_scale);
  s.iteration = saved.iteration;
  s.last_overflow = saved.last_overflow;
  s.hysteresis_left = std::min(saved.hysteresis_left, s.hysteresis);
  return s;
}

}  // namespace moiety
