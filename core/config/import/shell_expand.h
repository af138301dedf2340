// Words of a shell with their quotes and variables resolved.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moiety::config {

using Variables = std::map<std::string, std::string, std::less<>>;

/// A raw word becomes none, one or several: unquoted variables are split at blanks. What is not
/// known stays as it stands, with its $.
std::vector<std::string> expand_word(std::string_view raw, const Variables& variables);
/// The same without splitting, as in an assignment.
std::string expand_text(std::string_view raw, const Variables& variables);
/// The inside of $((...)): integers, variables, + - * / % and parentheses.
std::optional<int64_t> arithmetic(std::string_view text, const Variables& variables);

}  // namespace moiety::config
