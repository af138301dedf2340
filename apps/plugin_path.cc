// The shared option --plugin-path.
#include "apps/plugin_path.h"

#include <CLI/CLI.hpp>

namespace moiety::apps {

void PluginPath::add_to(CLI::App& command) {
  command
      .add_option("--plugin-path", folders,
                  "look for plugins in DIR first (repeatable; before MOIETY_PLUGIN_PATH)")
      ->type_name("DIR")
      ->allow_extra_args(false);  // one folder each time: what follows is the command's own
}

PluginRegistry PluginPath::registry() const {
  return PluginRegistry(PluginRegistry::default_folders(folders));
}

}  // namespace moiety::apps
