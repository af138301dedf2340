// Small text helpers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <moiety/export.h>

namespace moiety {

/// The candidate nearest to `text` by edit distance, or "" when none is near.
MOIETY_API std::string nearest(std::string_view text, const std::vector<std::string>& candidates);
/// "; did you mean 'x'?", or "".
MOIETY_API std::string did_you_mean(std::string_view text,
                                    const std::vector<std::string>& candidates);
MOIETY_API std::string join(const std::vector<std::string>& parts, std::string_view separator);
/// * and ? as in a shell.
MOIETY_API bool glob_match(std::string_view pattern, std::string_view text);
/// 1234567 -> "1.23 M"; bytes: 1.5e9 -> "1.40 GiB".
MOIETY_API std::string short_count(double n);
MOIETY_API std::string short_bytes(double n);

}  // namespace moiety
