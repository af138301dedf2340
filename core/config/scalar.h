// The scalars of YAML 1.2: what a plain text means, and how a value is written so that it is read
// back as the same one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <moiety/options.h>

#include "core/config/node.h"

namespace moiety::config {

/// true and false alone; yes, no, on and off are strings.
std::optional<bool> to_bool(const Node& node);
/// Decimal, or a float with an exponent whose value is whole (5e8). No octal, no 0x.
std::optional<int64_t> to_int(const Node& node);
/// Finite numbers: 3, -0.5, 3e-4.
std::optional<double> to_float(const Node& node);
/// A scalar that is neither null, bool nor number.
std::optional<std::string> to_string(const Node& node);
/// Seconds: a number, or one with a unit, "90s", "5m", "1.5h", "1h30m".
std::optional<double> to_seconds(const Node& node);

/// The shortest text that reads back as `x`.
std::string float_text(double x);
/// A string as YAML, in quotes where it would be read as something else (also by YAML 1.1).
std::string string_text(const std::string& text);
/// A value as one line of YAML; lists in brackets.
std::string value_text(const Value& value);
/// For messages: 'two', the string '2', null, a list of 3, a map.
std::string shown(const Node& node);

}  // namespace moiety::config
