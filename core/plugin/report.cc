// Tables about plugins.
#include "core/plugin/report.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/strings.h"
#include "core/plugin/option_check.h"

namespace moiety {

std::string column_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> width;
  for (const auto& row : rows) {
    width.resize(std::max(width.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();  // no blanks at the end of a line
      text += last ? row[i] + "\n" : fmt::format("{:<{}}  ", row[i], width[i]);
    }
  }
  return text;
}

std::string markdown_table(const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    for (const std::string& cell : rows[r]) text += "| " + cell + " ";
    text += "|\n";
    if (r > 0) continue;
    for (size_t i = 0; i < rows[0].size(); ++i) text += "|---";
    text += "|\n";
  }
  return text;
}

std::vector<std::vector<std::string>> option_rows(const std::vector<OptionSpec>& schema) {
  std::vector<std::vector<std::string>> rows = {{"option", "value", "default", "what it does"}};
  for (const OptionSpec& spec : schema) {
    rows.push_back({spec.name, expected_text(spec),
                    spec.required ? "(required)" : value_text(spec.fallback), spec.doc});
  }
  return rows;
}

std::string traits_text(const Traits& traits) {
  std::vector<std::string> words;
  if (traits.cpu) words.emplace_back("cpu");
  if (traits.cuda) words.emplace_back("cuda");
  if (traits.deterministic) words.emplace_back("deterministic");
  if (traits.capturable) words.emplace_back("capturable");
  words.push_back(fmt::format("state version {}", traits.state_version));
  return join(words, ", ");
}

}  // namespace moiety
