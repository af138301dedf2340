// The options of every schedule, declared once: errors, the reference and the JSON Schema follow.
#include <initializer_list>
#include <utility>

#include "core/config/scheduler.h"

namespace moiety::config {
namespace {

constexpr double kMaxSteps = 1e15;
constexpr double kMaxRate = 1e6;

/// The options of all schedules; each type declares those it has.
struct Options {
  int64_t total_num_steps = 0;
  double warmup_min_lr = 0, warmup_max_lr = 0.001;
  double warmup_min_ratio = 0, cos_min_ratio = 1e-4;
  int64_t warmup_num_steps = 1000;
  std::string warmup_type = "log";

  double cycle_min_lr = 0, cycle_max_lr = 0, decay_lr_rate = 0;
  int64_t cycle_first_step_size = 2000, cycle_second_step_size = 0;
  int64_t cycle_first_stair_count = 0, cycle_second_stair_count = -1, decay_step_size = 0;
  bool cycle_momentum = true;
  double cycle_min_mom = 0.8, cycle_max_mom = 0.9, decay_mom_rate = 0;

  double lr_range_test_min_lr = 1e-3, lr_range_test_step_rate = 1;
  int64_t lr_range_test_step_size = 2000;
  bool lr_range_test_staircase = false;

  std::string lr_decay_style = "linear", lr_wsd_decay_style = "exponential";
  double min_lr = 0, lr_warmup_init = 0, lr_warmup_fraction = 0;
  int64_t lr_warmup_iters = 0, lr_warmup_samples = 0, lr_warmup_tokens = 0;
  int64_t lr_decay_iters = 0, lr_decay_samples = 0, lr_decay_tokens = 0;
  int64_t lr_wsd_decay_iters = 0, lr_wsd_decay_samples = 0, lr_wsd_decay_tokens = 0;
};
using Describe = Schema<Options>;

void describe_total(Describe& s) {
  const Value example = int64_t{1000};
  s.field("total_num_steps", &Options::total_num_steps,
          "step at which the rate is at its end (default: run.steps)")
      .range(1, kMaxSteps)
      .example(example);
}

void describe_warmup(Describe& s) {
  s.field("warmup_num_steps", &Options::warmup_num_steps, "steps of the warm-up")
      .range(1, kMaxSteps);
  s.field("warmup_type", &Options::warmup_type, "how the rate rises").one_of({"log", "linear"});
}

void describe_rates(Describe& s) {
  s.field("warmup_min_lr", &Options::warmup_min_lr, "rate at the start").range(0, kMaxRate);
  s.field("warmup_max_lr", &Options::warmup_max_lr, "rate after the warm-up").range(0, kMaxRate);
}

void describe_ratios(Describe& s) {
  s.field("warmup_min_ratio", &Options::warmup_min_ratio,
          "rate at the start, as a share of the optimizer's lr")
      .range(0, 1);
  s.field("cos_min_ratio", &Options::cos_min_ratio,
          "rate at the end, as a share of the optimizer's lr")
      .range(0, 1);
}

void describe_cycle(Describe& s) {
  s.field("cycle_min_lr", &Options::cycle_min_lr, "rate at both ends of the cycle")
      .range(0, kMaxRate)
      .example(1e-4);
  s.field("cycle_max_lr", &Options::cycle_max_lr, "rate in the middle")
      .range(0, kMaxRate)
      .example(1e-3);
  s.field("decay_lr_rate", &Options::decay_lr_rate,
          "after the cycle: rate = cycle_min_lr / (1 + this * steps / decay_step_size); 0 = none")
      .range(0, kMaxRate);
  s.field("decay_step_size", &Options::decay_step_size, "see decay_lr_rate; 0 = no decay")
      .range(0, kMaxSteps);
  s.field("cycle_first_step_size", &Options::cycle_first_step_size, "steps up").range(1, kMaxSteps);
  s.field("cycle_second_step_size", &Options::cycle_second_step_size, "steps down; 0 = as many")
      .range(0, kMaxSteps);
  s.field("cycle_first_stair_count", &Options::cycle_first_stair_count,
          "stairs on the way up; 0 = a straight line")
      .range(0, kMaxSteps);
  s.field("cycle_second_stair_count", &Options::cycle_second_stair_count,
          "stairs on the way down; -1 = as many")
      .range(-1, kMaxSteps);
  s.field("cycle_momentum", &Options::cycle_momentum,
          "the optimizer's first beta falls while the rate rises, and back; the second is 0.99 "
          "then, as DeepSpeed sets it (default: true where the optimizer has betas)");
  s.field("cycle_min_mom", &Options::cycle_min_mom, "least first beta; of the first update too")
      .range(0, 0.9999999);
  s.field("cycle_max_mom", &Options::cycle_max_mom, "greatest first beta, at both ends")
      .range(0, 0.9999999);
  s.field("decay_mom_rate", &Options::decay_mom_rate,
          "after the cycle: first beta = cycle_max_mom * (1 + this * steps / decay_step_size)")
      .range(0, kMaxRate);
}

void describe_range_test(Describe& s) {
  s.field("lr_range_test_min_lr", &Options::lr_range_test_min_lr, "rate at the start")
      .range(0, kMaxRate);
  s.field("lr_range_test_step_size", &Options::lr_range_test_step_size, "steps of an interval")
      .range(1, kMaxSteps);
  s.field("lr_range_test_step_rate", &Options::lr_range_test_step_rate,
          "what an interval adds, in lr_range_test_min_lr")
      .range(0, kMaxRate);
  s.field("lr_range_test_staircase", &Options::lr_range_test_staircase,
          "the rate changes only between intervals");
}

void describe_units(Describe& s, const char* name, int64_t Options::*member, const char* doc) {
  s.field(name, member, doc).range(0, kMaxSteps);
}

void describe_megatron(Describe& s) {
  s.field("lr_decay_style", &Options::lr_decay_style, "what follows the warm-up")
      .one_of({"constant", "linear", "cosine", "inverse-square-root", "WSD"});
  s.field("min_lr", &Options::min_lr, "rate at the end").range(0, kMaxRate);
  describe_units(s, "lr_decay_iters", &Options::lr_decay_iters,
                 "iterations to the end, warm-up included (default: run.steps); 0 = by samples or "
                 "tokens");
  describe_units(s, "lr_decay_samples", &Options::lr_decay_samples, "the same in sequences");
  describe_units(s, "lr_decay_tokens", &Options::lr_decay_tokens, "the same in tokens");
  describe_units(s, "lr_warmup_iters", &Options::lr_warmup_iters, "iterations of the warm-up");
  describe_units(s, "lr_warmup_samples", &Options::lr_warmup_samples, "the same in sequences");
  describe_units(s, "lr_warmup_tokens", &Options::lr_warmup_tokens, "the same in tokens");
  s.field("lr_warmup_fraction", &Options::lr_warmup_fraction,
          "the warm-up as a share of the whole; 0 = as above")
      .range(0, 0.999999);
  s.field("lr_warmup_init", &Options::lr_warmup_init, "rate at the start of the warm-up")
      .range(0, kMaxRate);
  s.field("lr_wsd_decay_style", &Options::lr_wsd_decay_style,
          "WSD: how the rate falls at the end; exponential: 2 * 0.5^r - 1, minus_sqrt: 1 - sqrt(r)")
      .one_of({"linear", "cosine", "exponential", "minus_sqrt"});
  describe_units(s, "lr_wsd_decay_iters", &Options::lr_wsd_decay_iters,
                 "WSD: iterations at the end in which the rate falls");
  describe_units(s, "lr_wsd_decay_samples", &Options::lr_wsd_decay_samples,
                 "the same in sequences");
  describe_units(s, "lr_wsd_decay_tokens", &Options::lr_wsd_decay_tokens, "the same in tokens");
}

SchedulerType make_type(std::string name, std::string summary,
                        std::initializer_list<void (*)(Describe&)> parts) {
  SchedulerType type{std::move(name), std::move(summary), {}};
  Options defaults;
  Describe schema(&defaults, nullptr, &type.schema);
  for (const auto part : parts) part(schema);
  return type;
}

}  // namespace

const std::vector<SchedulerType>& scheduler_types() {
  static const std::vector<SchedulerType> types = {
      {"constant", "the optimizer's lr throughout", {}},
      make_type("WarmupLR", "rises to warmup_max_lr (default: the optimizer's lr)",
                {describe_rates, describe_warmup}),
      make_type("WarmupDecayLR", "rises, then falls to 0 in a straight line",
                {describe_total, describe_rates, describe_warmup}),
      make_type("WarmupCosineLR", "rises to the optimizer's lr, then falls as a cosine",
                {describe_total, describe_ratios, describe_warmup}),
      make_type("OneCycle",
                "rises from cycle_min_lr to cycle_max_lr, falls back and may decay from there "
                "(Smith, 2018)",
                {describe_cycle}),
      make_type("LRRangeTest", "rises without end, to see which rates train (Smith, 2017)",
                {describe_range_test}),
      make_type("Megatron",
                "Megatron's schedules: a linear warm-up to the optimizer's lr, then lr_decay_style "
                "down to min_lr. The first iteration runs at lr_warmup_init. Warm-up and decay are "
                "in one unit; a schedule in tokens runs one iteration late, as "
                "Megatron-DeepSpeed's does",
                {describe_megatron}),
  };
  return types;
}

}  // namespace moiety::config
