// Collects every error of a configuration, so that one run shows them all.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/node.h"

namespace moiety::config {

class Report {
 public:
  /// "file:line:col: path: problem". `path` is remembered as failed.
  void add(const Mark& mark, std::string_view path, const std::string& problem);
  /// False when an error concerned `path` or something inside it: what follows from such a value
  /// would only repeat the complaint.
  bool ok(std::string_view path) const;
  /// Throws ConfigError with one line an error, in the order of the files.
  void throw_if_any() const;

 private:
  struct Line {
    Mark mark;
    std::string text;
  };
  std::vector<Line> lines_;
  std::set<std::string> failed_;
};

}  // namespace moiety::config
