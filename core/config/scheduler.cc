#include "core/config/scheduler.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "core/base/strings.h"
#include "core/config/component.h"
#include "core/config/scalar.h"
#include "core/config/scheduler_rules.h"

namespace moiety::config {
namespace {

bool same_name(const std::string& a, const std::string& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

/// "cosine" and the like are styles of one schedule here, as they are in Megatron.
std::string style_hint(const std::string& name) {
  for (const char* style : {"linear", "cosine", "inverse-square-root", "WSD"}) {
    if (same_name(name, style)) {
      return std::string("; did you mean {type: Megatron, params: {lr_decay_style: ") + style +
             "}}?";
    }
  }
  return "";
}

const SchedulerType* find_type(const TypeAndParams& given, Draft& d) {
  std::vector<std::string> names;
  for (const SchedulerType& type : scheduler_types()) {
    if (same_name(type.name, given.type)) return &type;
    names.push_back(type.name);
  }
  std::string problem = given.type.empty() ? "missing" : "no schedule '" + given.type + "'";
  const std::string hint = style_hint(given.type);
  problem += hint.empty() ? did_you_mean(given.type, names) : hint;
  d.report.add(
      given.type_mark, "scheduler.type",
      problem + (problem.ends_with('?') ? " " : "; ") + "expected one of: " + join(names, ", "));
  return nullptr;
}

/// Whether nothing is given in samples or tokens.
bool counts_iterations(const Node* params) {
  if (params == nullptr) return true;
  return std::none_of(params->entries.begin(), params->entries.end(), [](const Node::Entry& e) {
    return e.key.ends_with("_samples") || e.key.ends_with("_tokens");
  });
}

/// Defaults that other keys decide: WarmupLR rises to the optimizer's rate, and those that end do
/// so where the run does.
std::vector<OptionSpec> effective_schema(const SchedulerType& type, const Node* params, Draft& d) {
  std::vector<OptionSpec> schema = type.schema;
  for (OptionSpec& spec : schema) {
    const std::string path = "scheduler.params." + spec.name;
    if (type.name == "WarmupLR" && spec.name == "warmup_max_lr") {
      spec.fallback = Value(d.config.base_lr);
      d.sources[path] = "default: optimizer.params.lr";
    }
    if (spec.name == "cycle_momentum" &&
        find_option(d.config.optimizer.options, "betas") == nullptr) {
      spec.fallback = Value(false);
      d.sources[path] = "default: the optimizer has no betas";
    }
    if (spec.name == "total_num_steps" && d.config.run.steps > 0) {
      spec.required = false;
      spec.fallback = Value(d.config.run.steps);
      d.sources[path] = "default: run.steps";
    }
    if (spec.name == "lr_decay_iters" && d.config.run.steps > 0 && counts_iterations(params)) {
      spec.fallback = Value(d.config.run.steps);
      d.sources[path] = "default: run.steps";
    }
  }
  return schema;
}

/// The params without known options that are null: DeepSpeed's null is the default.
Node without_nulls(const Node& params, const SchedulerType& type) {
  Node out = params;
  for (const OptionSpec& spec : type.schema) {
    const Node::Entry* entry = out.find(spec.name);
    if (entry != nullptr && entry->value.is_null()) out.erase(spec.name);
  }
  return out;
}

}  // namespace

void read_scheduler(Draft& d) {
  const auto it = d.components.find("scheduler");
  if (it == d.components.end()) {
    d.config.scheduler_type = "constant";
    return;
  }
  TypeAndParams given = read_type_and_params(it->second, "scheduler", d);
  if (!given.good) return;
  const SchedulerType* type = find_type(given, d);
  if (type == nullptr) return;
  d.config.scheduler_type = type->name;
  Node params;
  if (given.params != nullptr) {
    params = without_nulls(*given.params, *type);
    given.params = &params;
  }
  d.config.scheduler_options =
      read_options(effective_schema(*type, given.params, d), given.params, "scheduler.params",
                   "schedule '" + type->name + "'", {}, d);
  if (type->name == "OneCycle") check_one_cycle(given, d);
  if (type->name == "Megatron") check_megatron(d);
}

}  // namespace moiety::config
