// What a value of an option may be, in code and in words. The configuration, the loader and the
// printed tables use the same.
#pragma once

#include <string>

#include <moiety/options.h>

#include "core/plugin/registry.h"

namespace moiety {

/// "an integer in [1, 8]", "one of relu, gelu", "a list of 2 numbers >= 0".
MOIETY_API std::string expected_text(const OptionSpec& spec);
/// As YAML writes it: 2, 1.25, 'text', [0.9, 0.95].
MOIETY_API std::string value_text(const Value& value);
/// An integer becomes a float where the option is one, and an empty list takes the option's type.
MOIETY_API Value coerce(const OptionSpec& spec, Value value);
/// "" when the (coerced) value is fine, else "expected an integer in [1, 8], got 'two'".
MOIETY_API std::string option_problem(const OptionSpec& spec, const Value& value);
/// Names unique and well formed, docs not empty, the default (or example) legal. One line a
/// problem.
MOIETY_API std::vector<std::string> schema_problems(const std::vector<OptionSpec>& schema);

}  // namespace moiety
