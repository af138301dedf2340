#include "core/config/draft.h"

#include <algorithm>

namespace moiety::config {

Mark Draft::where(std::initializer_list<std::string_view> paths) const {
  for (const std::string_view path : paths) {
    const auto it = given.find(std::string(path));
    if (it != given.end()) return it->second;
  }
  return top;
}

bool Draft::ok(std::initializer_list<std::string_view> paths) const {
  return std::all_of(paths.begin(), paths.end(),
                     [this](std::string_view path) { return report.ok(path); });
}

}  // namespace moiety::config
