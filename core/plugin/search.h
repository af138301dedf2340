// Which plugin files lie in which folders.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/plugin/registry.h"

namespace moiety {

/// A file moiety_<kind>_<name>.so, not yet opened.
struct PluginFile {
  ComponentKind kind{};
  std::string name;
  std::filesystem::path path;
};

/// Every plugin file, folder by folder, by name within a folder. Folders that do not exist are
/// skipped.
MOIETY_API std::vector<PluginFile> plugin_files(const std::vector<std::filesystem::path>& folders);
/// All places of one file, in the order of search: the first is the one to load.
std::vector<std::filesystem::path> find_plugin_file(
    const std::vector<std::filesystem::path>& folders, ComponentKind kind, std::string_view name);

}  // namespace moiety
