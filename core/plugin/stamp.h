// The text that every plugin carries, and the rules by which a core accepts it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/plugin/registry.h"

namespace moiety {

/// Reads the stamp from the file's bytes; runs none of its code. Throws PluginError.
MOIETY_API Stamp read_stamp(const std::filesystem::path& file);
/// What this core was built with.
MOIETY_API const Stamp& host_stamp();

/// abi: major equal, the plugin's minor not above the core's. stdlib, stldebug, sanitizer: equal.
/// cuda: major equal where both have one. Throws PluginError with a table of both sides.
MOIETY_API void check_stamp(const std::filesystem::path& file, const Stamp& plugin,
                            const Stamp& host);

/// Whether code built for `sm` runs on a device of compute capability `device` (90 for 9.0).
/// `sm` is "any" (no device code of its own), "none" (CPU only), or a list such as "80,90+ptx":
/// a number runs on the same major at or above it, with +ptx on everything at or above it, with a
/// letter ("90a") on that device alone.
MOIETY_API bool covers_device(std::string_view sm, int device);
/// For the start of a CUDA run. Throws PluginError that names the plugin and both architectures.
MOIETY_API void check_device(const ComponentInfo& component, int device);

}  // namespace moiety
