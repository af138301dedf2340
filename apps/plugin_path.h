// --plugin-path, for every command that loads plugins.
#pragma once

#include <filesystem>
#include <vector>

#include "core/plugin/registry.h"

namespace CLI {
class App;
}

namespace moiety::apps {

/// Keep it alive until the command's callback has run.
struct PluginPath {
  std::vector<std::filesystem::path> folders;

  void add_to(CLI::App& command);
  /// A registry over `folders`, then MOIETY_PLUGIN_PATH, then the installed plugins.
  PluginRegistry registry() const;
};

}  // namespace moiety::apps
