// `moiety selftest parity`: the program's own layers and loaded plugins against recorded results of
// public reference implementations.
#pragma once

#include <filesystem>

#include "core/device/device.h"
#include "core/plugin/registry.h"
#include "core/testing/parity_report.h"

namespace moiety::testing {

/// Compares everything under `golden` (tests/golden/README.md describes the layout; the values are
/// free). Throws Error when the folder is not there; everything else is a failing row.
MOIETY_API ParityReport run_parity(const std::filesystem::path& golden, PluginRegistry& plugins,
                                   DeviceContext& context);

}  // namespace moiety::testing
