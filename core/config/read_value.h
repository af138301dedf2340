// One value of the file against its declaration. Core keys and plugin options share it, so their
// messages are the same.
#pragma once

#include <optional>
#include <string>

#include <moiety/options.h>

#include "core/config/node.h"
#include "core/config/report.h"

namespace moiety::config {

/// What OptionSpec does not say.
struct ValueRules {
  bool integers = false;  // every number of a list is whole
  bool single = false;    // one number stands for a list of it
  bool duration = false;  // "90s", "5m", "2h" or seconds
};

/// "an integer in [1, 8]", "one of: a, b", "a list of 2 numbers"
std::string expected(const OptionSpec& spec, const ValueRules& rules = {});

/// The value, or nothing after reporting "expected ..., got ...". Where 'None' is a choice, null
/// means it.
std::optional<Value> read_value(const Node& node, const OptionSpec& spec, const ValueRules& rules,
                                const std::string& path, Report& report);

}  // namespace moiety::config
