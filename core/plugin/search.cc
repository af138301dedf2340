// The search path and the files on it.
#include "core/plugin/search.h"

#include <algorithm>
#include <cstdlib>

#include "core/base/files.h"
#include "core/plugin/kinds.h"

namespace moiety {

namespace fs = std::filesystem;

std::vector<fs::path> PluginRegistry::default_folders(const std::vector<fs::path>& first) {
  std::vector<fs::path> folders;
  const auto add = [&](const fs::path& folder) {
    if (folder.empty()) return;  // an empty entry must not become the current directory
    const fs::path full = fs::absolute(folder).lexically_normal();
    if (std::find(folders.begin(), folders.end(), full) == folders.end()) folders.push_back(full);
  };
  for (const fs::path& folder : first) add(folder);
  if (const char* variable = std::getenv("MOIETY_PLUGIN_PATH")) {
    std::string_view rest = variable;
    while (!rest.empty()) {
      const size_t colon = std::min(rest.find(':'), rest.size());
      add(rest.substr(0, colon));
      rest.remove_prefix(std::min(colon + 1, rest.size()));
    }
  }
  add(executable_path().parent_path().parent_path() / "lib" / "moiety" / "plugins");
  return folders;
}

std::vector<PluginFile> plugin_files(const std::vector<fs::path>& folders) {
  std::vector<PluginFile> all;
  for (const fs::path& folder : folders) {
    std::vector<PluginFile> here;
    std::error_code error;  // an unreadable folder has no plugins
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      const std::string file = entry.path().filename().string();
      for (const ComponentKind kind : kAllKinds) {
        const std::string prefix = std::string("moiety_") + kind_name(kind) + "_";
        if (!file.starts_with(prefix) || !file.ends_with(".so")) continue;
        const std::string name = file.substr(prefix.size(), file.size() - prefix.size() - 3);
        if (is_component_name(name)) here.push_back({kind, name, entry.path()});
      }
    }
    std::sort(here.begin(), here.end(), [](const PluginFile& a, const PluginFile& b) {
      return std::pair(a.kind, a.name) < std::pair(b.kind, b.name);
    });
    all.insert(all.end(), here.begin(), here.end());
  }
  return all;
}

std::vector<fs::path> find_plugin_file(const std::vector<fs::path>& folders, ComponentKind kind,
                                       std::string_view name) {
  std::vector<fs::path> found;
  if (!is_component_name(name)) return found;  // nothing like ../../x becomes a path
  for (const fs::path& folder : folders) {
    std::error_code error;
    const fs::path file = folder / plugin_file_name(kind, name);
    if (fs::is_regular_file(file, error)) found.push_back(file);
  }
  return found;
}

}  // namespace moiety
