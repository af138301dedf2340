#include "core/config/read_value.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "core/base/strings.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

bool has_min(const OptionSpec& spec) { return spec.min > -1e300; }
bool has_max(const OptionSpec& spec) { return spec.max < 1e300; }

/// 1000000 rather than 1e+06.
std::string bound_text(double x) {
  constexpr double kWhole = 1e16;
  const bool whole = std::abs(x) < kWhole && x == std::floor(x);
  return whole ? std::to_string(static_cast<int64_t>(x)) : float_text(x);
}

/// " in [1, 8]", " of at least 1", or "".
std::string range_text(const OptionSpec& spec) {
  if (has_min(spec) && has_max(spec)) {
    return " in [" + bound_text(spec.min) + ", " + bound_text(spec.max) + "]";
  }
  if (has_min(spec)) return " of at least " + bound_text(spec.min);
  if (has_max(spec)) return " of at most " + bound_text(spec.max);
  return "";
}

bool in_range(const OptionSpec& spec, double x) { return x >= spec.min && x <= spec.max; }

std::optional<double> read_number(const Node& node, const OptionSpec& spec,
                                  const ValueRules& rules) {
  std::optional<double> x;
  if (rules.duration) {
    x = to_seconds(node);
  } else if (rules.integers) {
    if (const auto n = to_int(node)) x = static_cast<double>(*n);
  } else {
    x = to_float(node);
  }
  return x && in_range(spec, *x) ? x : std::nullopt;
}

bool is_choice(const OptionSpec& spec, const std::string& text) {
  return spec.choices.empty() ||
         std::find(spec.choices.begin(), spec.choices.end(), text) != spec.choices.end();
}

class Reader {
 public:
  Reader(const OptionSpec& spec, const ValueRules& rules, std::string path, Report& report)
      : spec_(spec), rules_(rules), path_(std::move(path)), report_(report) {}

  std::optional<Value> read(const Node& node) {
    switch (spec_.type) {
      case OptionType::kBool: return lift(node, to_bool(node));
      case OptionType::kInt: return read_int(node);
      case OptionType::kFloat: return lift(node, read_number(node, spec_, rules_));
      case OptionType::kString: return lift(node, read_string(node));
      case OptionType::kNumbers: return read_numbers(node);
      case OptionType::kStrings: return read_strings(node);
    }
    return std::nullopt;
  }

 private:
  template <class T>
  std::optional<Value> lift(const Node& node, const std::optional<T>& x) {
    if (x) return Value(*x);
    return refuse(node, path_);
  }

  std::optional<Value> refuse(const Node& node, const std::string& path) {
    report_.add(node.mark, path,
                "expected " + expected(spec_, rules_) + ", got " + shown(node) + hint(node));
    return std::nullopt;
  }

  /// A word on values that look right to a reader of other formats.
  std::string hint(const Node& node) const {
    constexpr size_t kWord = 4;  // shorter ones are near to too many
    if (!node.is_scalar()) return "";
    if (!spec_.choices.empty() && node.text.size() >= kWord) {
      return did_you_mean(node.text, spec_.choices);
    }
    if (spec_.type == OptionType::kBool) {
      for (const char* word : {"yes", "no", "on", "off", "Yes", "No", "On", "Off"}) {
        if (node.text == word) return " (in YAML 1.2 a string)";
      }
    }
    if (spec_.type == OptionType::kString && !to_string(node)) return "; write it in quotes";
    if (node.quoted) return "; write it without quotes";
    if (node.text == "auto") return "; to have it chosen, leave the key out";
    if (node.text.size() > 1 && node.text[0] == '0' && spec_.type == OptionType::kInt &&
        node.text.find_first_not_of("0123456789") == std::string::npos) {
      return "; a leading zero is octal to some readers, write it without";
    }
    return "";
  }

  std::optional<Value> read_int(const Node& node) {
    const auto x = to_int(node);
    if (x && in_range(spec_, static_cast<double>(*x))) return Value(*x);
    return refuse(node, path_);
  }

  std::optional<std::string> read_string(const Node& node) const {
    if (node.is_null() && !spec_.choices.empty() && is_choice(spec_, "None")) return "None";
    const auto text = to_string(node);
    return text && is_choice(spec_, *text) ? text : std::nullopt;
  }

  std::optional<Value> read_numbers(const Node& node) {
    if (rules_.single && node.is_scalar()) {
      const auto x = read_number(node, spec_, rules_);
      return x ? Value(std::vector<double>{*x}) : refuse(node, path_);
    }
    if (!right_length(node)) return refuse(node, path_);
    std::vector<double> out;
    bool good = true;
    for (size_t i = 0; i < node.items.size(); ++i) {
      const auto x = read_number(node.items[i], spec_, rules_);
      if (x) out.push_back(*x);
      if (!x)
        good = false, refuse_item(node.items[i], i, rules_.integers ? "an integer" : "a number");
    }
    return good ? std::optional<Value>(std::move(out)) : std::nullopt;
  }

  std::optional<Value> read_strings(const Node& node) {
    if (!right_length(node)) return refuse(node, path_);
    std::vector<std::string> out;
    bool good = true;
    for (size_t i = 0; i < node.items.size(); ++i) {
      const auto text = read_string(node.items[i]);
      if (text) out.push_back(*text);
      if (!text) good = false, refuse_item(node.items[i], i, "a string");
    }
    return good ? std::optional<Value>(std::move(out)) : std::nullopt;
  }

  bool right_length(const Node& node) const {
    return node.is_list() &&
           (spec_.length < 0 || static_cast<int64_t>(node.items.size()) == spec_.length);
  }

  void refuse_item(const Node& item, size_t i, std::string_view what) {
    std::string problem = "expected ";
    if (!spec_.choices.empty()) {
      problem += "one of: " + join(spec_.choices, ", ");
    } else {
      problem += std::string(what) + range_text(spec_);
    }
    report_.add(item.mark, path_ + "[" + std::to_string(i) + "]", problem + ", got " + shown(item));
  }

  const OptionSpec& spec_;
  const ValueRules& rules_;
  std::string path_;
  Report& report_;
};

}  // namespace

std::string expected(const OptionSpec& spec, const ValueRules& rules) {
  const std::string count = spec.length >= 0 ? std::to_string(spec.length) + " " : "";
  switch (spec.type) {
    case OptionType::kBool: return "true or false";
    case OptionType::kInt: return "an integer" + range_text(spec);
    case OptionType::kFloat:
      if (rules.duration) return "a duration such as 90s, 5m or 2h, or a number of seconds";
      return "a number" + range_text(spec);
    case OptionType::kString:
      return spec.choices.empty() ? "a string" : "one of: " + join(spec.choices, ", ");
    case OptionType::kNumbers: {
      const std::string list =
          "a list of " + count + (rules.integers ? "integers" : "numbers") + range_text(spec);
      if (!rules.single) return list;
      return std::string(rules.integers ? "an integer" : "a number") + " or " + list;
    }
    case OptionType::kStrings: return "a list of " + count + "strings";
  }
  return "";
}

std::optional<Value> read_value(const Node& node, const OptionSpec& spec, const ValueRules& rules,
                                const std::string& path, Report& report) {
  return Reader(spec, rules, path, report).read(node);
}

}  // namespace moiety::config
