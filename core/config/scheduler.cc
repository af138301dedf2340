#include "core/config/scheduler.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <utility>

#include "core/base/strings.h"
#include "core/config/component.h"
#include "core/config/scalar.h"

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

SchedulerType make_type(std::string name, std::string summary,
                        std::initializer_list<void (*)(Describe&)> parts) {
  SchedulerType type{std::move(name), std::move(summary), {}};
  Options defaults;
  Describe schema(&defaults, nullptr, &type.schema);
  for (const auto part : parts) part(schema);
  return type;
}

bool same_name(const std::string& a, const std::string& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

/// DeepSpeed's schedules that are not here.
bool is_later(const std::string& name) {
  return same_name(name, "OneCycle") || same_name(name, "LRRangeTest");
}

const SchedulerType* find_type(const TypeAndParams& given, Draft& d) {
  std::vector<std::string> names;
  for (const SchedulerType& type : scheduler_types()) {
    if (same_name(type.name, given.type)) return &type;
    names.push_back(type.name);
  }
  std::string problem = given.type.empty() ? "missing" : "no schedule '" + given.type + "'";
  if (is_later(given.type)) {
    problem = "needs the schedule " + given.type + ", which this version does not have";
  } else {
    problem += did_you_mean(given.type, names);
  }
  d.report.add(
      given.type_mark, "scheduler.type",
      problem + (problem.ends_with('?') ? " " : "; ") + "expected one of: " + join(names, ", "));
  return nullptr;
}

/// Defaults that other keys decide: WarmupLR rises to the optimizer's rate, and the two that end do
/// so where the run does.
std::vector<OptionSpec> effective_schema(const SchedulerType& type, Draft& d) {
  std::vector<OptionSpec> schema = type.schema;
  for (OptionSpec& spec : schema) {
    const std::string path = "scheduler.params." + spec.name;
    if (type.name == "WarmupLR" && spec.name == "warmup_max_lr") {
      spec.fallback = Value(d.config.base_lr);
      d.sources[path] = "default: optimizer.params.lr";
    }
    if (spec.name == "total_num_steps" && d.config.run.steps > 0) {
      spec.required = false;
      spec.fallback = Value(d.config.run.steps);
      d.sources[path] = "default: run.steps";
    }
  }
  return schema;
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
  };
  return types;
}

void read_scheduler(Draft& d) {
  const auto it = d.components.find("scheduler");
  if (it == d.components.end()) {
    d.config.scheduler_type = "constant";
    return;
  }
  const TypeAndParams given = read_type_and_params(it->second, "scheduler", d);
  if (!given.good) return;
  const SchedulerType* type = find_type(given, d);
  if (type == nullptr) return;
  d.config.scheduler_type = type->name;
  d.config.scheduler_options =
      read_options(effective_schema(*type, d), given.params, "scheduler.params",
                   "schedule '" + type->name + "'", {}, d);
}

}  // namespace moiety::config
