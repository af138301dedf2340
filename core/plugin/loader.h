// Loads one plugin library, checks it, and keeps it until the process ends. Boost.DLL lives in
// loader.cc alone.
#pragma once

#include <memory>
#include <vector>

#include "core/plugin/registry.h"

namespace moiety {

/// A component as the library described it; `factory` may come from a plugin with a longer or
/// shorter struct, so it is a copy of what both sides know.
struct LoadedComponent {
  ComponentInfo info;
  ComponentDescriptor factory;
};

struct LoadedLibrary {
  virtual ~LoadedLibrary() = default;  // the derived type holds the library's handle
  std::filesystem::path file;
  Stamp stamp;
  std::vector<LoadedComponent> components;
};

/// In this order: the file, its stamp, dlopen(RTLD_NOW | RTLD_LOCAL), moiety_plugin_entry, every
/// descriptor's interface number, every schema. Throws PluginError for the first that fails.
/// Another compiler than the core's is a warning.
std::shared_ptr<const LoadedLibrary> load_library(const std::filesystem::path& file);

}  // namespace moiety
