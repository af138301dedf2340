// Plugins in words: for the terminal and for the generated documentation.
#pragma once

#include <string>
#include <vector>

#include "core/plugin/registry.h"

namespace moiety {

/// Rows of equal length as columns, two spaces apart; the first row is the heading.
MOIETY_API std::string column_table(const std::vector<std::vector<std::string>>& rows);
/// The same as a Markdown table.
MOIETY_API std::string markdown_table(const std::vector<std::vector<std::string>>& rows);
/// option | value | default | what it does. The heading alone when there are no options.
MOIETY_API std::vector<std::vector<std::string>> option_rows(const std::vector<OptionSpec>& schema);
/// "cpu, cuda, deterministic, capturable, state version 1".
MOIETY_API std::string traits_text(const Traits& traits);

}  // namespace moiety
