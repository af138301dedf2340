#include "core/testing/variants.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/plugin/option_check.h"

namespace moiety::testing {

namespace {

constexpr double kUnbounded = 1e299;

std::vector<Value> edges(const OptionSpec& spec) {
  std::vector<Value> values;
  if (spec.type == OptionType::kBool) values = {Value(false), Value(true)};
  for (const std::string& choice : spec.choices) values.emplace_back(choice);
  for (const double end : {spec.min, spec.max}) {
    if (std::abs(end) > kUnbounded) continue;
    if (spec.type == OptionType::kInt) values.emplace_back(static_cast<int64_t>(end));
    if (spec.type == OptionType::kFloat) values.emplace_back(end);
    if (const auto* list = std::get_if<std::vector<double>>(&spec.fallback)) {
      if (!list->empty()) values.emplace_back(std::vector<double>(list->size(), end));
    }
  }
  std::erase(values, spec.fallback);
  return values;
}

bool refused(const ComponentInfo& component, const OptionMap& given, const std::string& name) {
  try {
    complete_options(component, given);
  } catch (const ConfigError& e) {
    return std::string(e.what()).find(name) != std::string::npos;
  }
  return false;
}

OptionMap required_only(const ComponentInfo& component) {
  OptionMap options;
  for (const OptionSpec& spec : component.schema) {
    if (spec.required) options.emplace_back(spec.name, spec.fallback);
  }
  return options;
}

/// Unknown names, values past the range and missing ones are refused, and the message names them.
std::string refusals_problem(const ComponentInfo& component) {
  OptionMap unknown = required_only(component);
  unknown.emplace_back("no_such_option", Value(true));
  if (!refused(component, unknown, "no_such_option")) return "an unknown option was taken";
  for (const OptionSpec& spec : component.schema) {
    if (spec.required && !refused(component, {}, spec.name)) {
      return fmt::format("'{}' is required, but nobody asked for it", spec.name);
    }
    OptionMap past = required_only(component);
    std::erase_if(past, [&](const auto& option) { return option.first == spec.name; });
    if (spec.type == OptionType::kInt && spec.max < 1e18) {
      past.emplace_back(spec.name, Value(static_cast<int64_t>(spec.max) + 1));
    } else if (!spec.choices.empty()) {
      past.emplace_back(spec.name, Value(std::string("no_such_choice")));
    } else {
      continue;
    }
    if (!refused(component, past, spec.name)) {
      return fmt::format("'{}' was taken outside its range", spec.name);
    }
  }
  return "";
}

}  // namespace

std::vector<Variant> variants_of(const ComponentInfo& component) {
  Variant defaults;
  defaults.options = complete_options(component, required_only(component));
  std::vector<Variant> variants{defaults};
  for (const OptionSpec& spec : component.schema) {
    for (const Value& value : edges(spec)) {
      Variant edge = defaults;
      edge.name = fmt::format("{} = {}", spec.name, value_text(value));
      edge.option = spec.name;
      for (auto& [name, current] : edge.options) {
        if (name == spec.name) current = value;
      }
      variants.push_back(std::move(edge));
    }
  }
  return variants;
}

std::vector<Variant> check_options(PluginRegistry& plugins, const ComponentInfo& component,
                                   Report& report) {
  std::vector<Variant> usable;
  report.check("options", [&]() -> Verdict {
    const std::vector<std::string> problems = schema_problems(component.schema);
    if (!problems.empty()) return problems.front();
    if (std::string problem = refusals_problem(component); !problem.empty()) return problem;
    std::string unclear;
    for (Variant& variant : variants_of(component)) {
      try {
        plugins.create(component.kind, component.name, variant.options, kit_dims());
      } catch (const Error& e) {
        if (variant.name.empty()) throw;  // the defaults must work
        const bool named = std::string(e.what()).find(variant.option) != std::string::npos;
        if (!named && unclear.empty()) {
          unclear = fmt::format("{} lies in the range and is refused without naming '{}': {}",
                                variant.name, variant.option, e.what());
        }
        continue;
      }
      usable.push_back(std::move(variant));
    }
    return unclear;
  });
  return usable;
}

void check_lifetime(const Subject& subject, Report& report) {
  report.check("lifetime", [&]() -> Verdict {
    for (int i = 0; i < 100; ++i) {
      subject.plugins.create(subject.info.kind, subject.info.name, subject.options, kit_dims());
    }
    return "";
  });
}

}  // namespace moiety::testing
