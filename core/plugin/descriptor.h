// From a descriptor in a plugin's memory to a component that the core trusts.
#pragma once

#include "core/plugin/loader.h"

namespace moiety {

/// Copies what both sides know and checks it: kind, name, interface number, functions, options.
/// Throws PluginError with every problem of the component.
LoadedComponent adopt(const ComponentDescriptor& descriptor, const std::filesystem::path& file,
                      const Stamp& stamp);

}  // namespace moiety
