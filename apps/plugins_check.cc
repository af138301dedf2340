// moiety plugins check.
#include <cstdio>

#include <moiety/error.h>

#include "apps/commands.h"
#include "apps/plugins.h"

namespace moiety::apps {

int check_plugin_file(PluginRegistry& registry, const std::filesystem::path& file) {
  registry.add_file(file);
  std::printf("%-40s %s\n", file.filename().c_str(), "loads: pass");
  return kOk;
}

}  // namespace moiety::apps
