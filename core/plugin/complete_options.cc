// From the options that a user gave to the complete list that a plugin sees.
#include <fmt/format.h>

#include <algorithm>

#include "core/base/strings.h"
#include "core/plugin/option_check.h"

namespace moiety {
namespace {

[[noreturn]] void unknown_option(const ComponentInfo& component, const std::string& name) {
  std::vector<std::string> known;
  for (const OptionSpec& spec : component.schema) known.push_back(spec.name);
  const std::string has = known.empty() ? "it has none" : "it has: " + join(known, ", ");
  throw ConfigError(fmt::format("{} '{}' has no option '{}'; {}{}", kind_name(component.kind),
                                component.name, name, has, did_you_mean(name, known)));
}

}  // namespace

OptionMap complete_options(const ComponentInfo& component, const OptionMap& given) {
  for (size_t i = 0; i < given.size(); ++i) {
    const std::string& name = given[i].first;
    const auto same_spec = [&](const OptionSpec& s) { return s.name == name; };
    if (std::none_of(component.schema.begin(), component.schema.end(), same_spec)) {
      unknown_option(component, name);
    }
    const auto same_key = [&](const auto& o) { return o.first == name; };
    if (std::any_of(given.begin() + static_cast<ptrdiff_t>(i) + 1, given.end(), same_key)) {
      throw ConfigError(fmt::format("{} '{}': option '{}' is given twice",
                                    kind_name(component.kind), component.name, name));
    }
  }
  OptionMap complete;
  for (const OptionSpec& spec : component.schema) {
    const auto it = std::find_if(given.begin(), given.end(),
                                 [&](const auto& option) { return option.first == spec.name; });
    if (it == given.end() && spec.required) {
      throw ConfigError(fmt::format("{} '{}' needs the option '{}' ({})", kind_name(component.kind),
                                    component.name, spec.name, spec.doc));
    }
    Value value = it == given.end() ? spec.fallback : coerce(spec, it->second);
    const std::string problem = option_problem(spec, value);
    if (!problem.empty()) {
      throw ConfigError(fmt::format("{} '{}': {}: {} ({})", kind_name(component.kind),
                                    component.name, spec.name, problem, spec.doc));
    }
    complete.emplace_back(spec.name, std::move(value));
  }
  return complete;
}

}  // namespace moiety
