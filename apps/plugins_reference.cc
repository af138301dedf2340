// moiety plugins reference.
#include <algorithm>
#include <cstdio>

#include "apps/commands.h"
#include "apps/plugins.h"
#include "core/plugin/kinds.h"
#include "core/plugin/pages.h"

namespace moiety::apps {

int plugin_pages(PluginRegistry& registry, const std::filesystem::path& folder, bool check) {
  std::vector<const ComponentInfo*> components;
  for (const ComponentKind kind : kAllKinds) {
    std::vector<std::string> names = registry.names(kind);
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) components.push_back(&registry.find(kind, name));
  }
  const PagesReport report = update_pages(folder, components, !check);
  for (const std::string& file : report.written) std::printf("wrote %s\n", file.c_str());
  for (const std::string& text : report.problems) std::fprintf(stderr, "%s\n", text.c_str());
  if (report.problems.empty()) return kOk;
  if (check) std::fprintf(stderr, "cure: moiety plugins reference %s\n", folder.c_str());
  return kFailedCheck;
}

}  // namespace moiety::apps
