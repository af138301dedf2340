#include "core/config/report.h"

#include <algorithm>
#include <tuple>

#include <moiety/error.h>

#include "core/base/strings.h"

namespace moiety::config {

void Report::add(const Mark& mark, std::string_view path, const std::string& problem) {
  std::string text = mark.text() + ": ";
  if (!path.empty()) text += std::string(path) + ": ";
  lines_.push_back({mark, text + problem});
  failed_.emplace(path);
}

bool Report::ok(std::string_view path) const {
  return std::none_of(failed_.begin(), failed_.end(), [&](const std::string& failed) {
    if (!failed.starts_with(path)) return false;
    return failed.size() == path.size() || failed[path.size()] == '.' || failed[path.size()] == '[';
  });
}

void Report::throw_if_any() const {
  if (lines_.empty()) return;
  std::vector<Line> sorted = lines_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Line& a, const Line& b) {
    return std::tie(a.mark.source, a.mark.line, a.mark.column) <
           std::tie(b.mark.source, b.mark.line, b.mark.column);
  });
  std::vector<std::string> texts;
  for (const Line& line : sorted) texts.push_back(line.text);
  throw ConfigError(join(texts, "\n"));
}

}  // namespace moiety::config
