// `base:` composition and overrides: several sources -> one tree.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/config/node.h"
#include "core/config/report.h"

namespace moiety::config {

/// Reads a file and the files that its `base:` names, relative to it. Later ones win: maps merge,
/// lists and scalars replace, and a component whose `type` changes loses its `params`. Throws
/// ConfigError: a file cannot be read, a cycle.
Node compose_file(const std::filesystem::path& file);

/// The same for a text whose `base:` is relative to the current directory.
Node compose_text(const std::string& text, const std::string& shown_name);

/// Lays `over` on `under`.
void merge(Node& under, Node over);

/// "a.b=value", "a.b[2]=value" and "~a.b", in order, but changes of a `type` first: they drop the
/// component's params, which other overrides may then set.
void apply_overrides(Node& root, const std::vector<std::string>& overrides, Report& report);

/// Renames the keys that have an alias to the declared name.
void apply_aliases(Node& root);

}  // namespace moiety::config
