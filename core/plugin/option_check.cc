// Checks of option values and schemas.
#include "core/plugin/option_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/strings.h"
#include "core/plugin/kinds.h"

namespace moiety {
namespace {

constexpr double kNoLimit = 1e300;

std::string range_text(const OptionSpec& spec) {
  const bool low = spec.min > -kNoLimit, high = spec.max < kNoLimit;
  if (low && high) return fmt::format(" in [{}, {}]", spec.min, spec.max);
  if (low) return fmt::format(" >= {}", spec.min);
  if (high) return fmt::format(" <= {}", spec.max);
  return "";
}

bool in_range(const OptionSpec& spec, double x) {
  return std::isfinite(x) && x >= spec.min && x <= spec.max;
}

bool is_choice(const OptionSpec& spec, const std::string& text) {
  return spec.choices.empty() ||
         std::find(spec.choices.begin(), spec.choices.end(), text) != spec.choices.end();
}

template <class T>
bool right_length(const OptionSpec& spec, const std::vector<T>& list) {
  return spec.length < 0 || static_cast<int64_t>(list.size()) == spec.length;
}

struct Legal {
  const OptionSpec& spec;
  bool operator()(bool) const { return true; }
  bool operator()(int64_t x) const { return in_range(spec, static_cast<double>(x)); }
  bool operator()(double x) const { return in_range(spec, x); }
  bool operator()(const std::string& x) const { return is_choice(spec, x); }
  bool operator()(const std::vector<double>& list) const {
    return right_length(spec, list) &&
           std::all_of(list.begin(), list.end(), [&](double x) { return in_range(spec, x); });
  }
  bool operator()(const std::vector<std::string>& list) const {
    return right_length(spec, list) &&
           std::all_of(list.begin(), list.end(), [&](const auto& x) { return is_choice(spec, x); });
  }
};

struct Text {
  std::string operator()(bool x) const { return x ? "true" : "false"; }
  std::string operator()(int64_t x) const { return fmt::to_string(x); }
  std::string operator()(double x) const { return fmt::to_string(x); }
  std::string operator()(const std::string& x) const { return fmt::format("'{}'", x); }
  std::string operator()(const std::vector<double>& x) const {
    return fmt::format("[{}]", fmt::join(x, ", "));
  }
  std::string operator()(const std::vector<std::string>& x) const {
    return x.empty() ? "[]" : fmt::format("['{}']", fmt::join(x, "', '"));
  }
};

}  // namespace

std::string expected_text(const OptionSpec& spec) {
  const std::string count = spec.length < 0 ? "" : fmt::format("{} ", spec.length);
  const std::string choices = fmt::format("one of {}", fmt::join(spec.choices, ", "));
  switch (spec.type) {
    case OptionType::kBool: return "true or false";
    case OptionType::kInt: return "an integer" + range_text(spec);
    case OptionType::kFloat: return "a number" + range_text(spec);
    case OptionType::kString: return spec.choices.empty() ? "a text" : choices;
    case OptionType::kNumbers: return fmt::format("a list of {}numbers{}", count, range_text(spec));
    case OptionType::kStrings:
      return fmt::format("a list of {}texts{}", count,
                         spec.choices.empty() ? "" : ", each " + choices);
  }
  return "a value";
}

std::string value_text(const Value& value) { return std::visit(Text{}, value); }

Value coerce(const OptionSpec& spec, Value value) {
  const auto* integer = std::get_if<int64_t>(&value);
  if (spec.type == OptionType::kFloat && integer != nullptr) return static_cast<double>(*integer);
  const auto* numbers = std::get_if<std::vector<double>>(&value);
  if (spec.type == OptionType::kStrings && numbers != nullptr && numbers->empty()) {
    return std::vector<std::string>{};
  }
  const auto* texts = std::get_if<std::vector<std::string>>(&value);
  if (spec.type == OptionType::kNumbers && texts != nullptr && texts->empty()) {
    return std::vector<double>{};
  }
  return value;
}

std::string option_problem(const OptionSpec& spec, const Value& value) {
  const bool same_type = value.index() == static_cast<size_t>(spec.type);
  if (same_type && std::visit(Legal{spec}, value)) return "";
  const auto* text = std::get_if<std::string>(&value);
  return fmt::format("expected {}, got {}{}", expected_text(spec), value_text(value),
                     text == nullptr ? "" : did_you_mean(*text, spec.choices));
}

std::vector<std::string> schema_problems(const std::vector<OptionSpec>& schema) {
  std::vector<std::string> problems;
  std::set<std::string> names;
  for (const OptionSpec& spec : schema) {
    const auto problem = [&](const std::string& what) {
      problems.push_back(fmt::format("option '{}' {}", spec.name, what));
    };
    if (!names.insert(spec.name).second) problem("is declared twice");
    if (!is_component_name(spec.name)) problem("has a name that is not like_this");
    if (spec.doc.empty()) problem("has no documentation");
    if (spec.min > spec.max) problem("has an empty range");
    const std::string why = option_problem(spec, spec.fallback);
    if (!why.empty()) {
      problem(fmt::format("has a bad {}: {}", spec.required ? "example" : "default", why));
    }
  }
  return problems;
}

}  // namespace moiety
