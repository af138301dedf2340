// What machine.json says: enough to know where a number came from.
#pragma once

#include "core/base/json.h"
#include "core/checkpoint/checkpoint.h"
#include "core/device/device.h"

namespace moiety {

class PluginRegistry;

MOIETY_API Json machine_info(const DeviceContext& context,
                             const std::vector<PluginIdentity>& plugins);
/// The libraries that a run uses, with their hashes.
MOIETY_API std::vector<PluginIdentity> plugin_identities(const PluginRegistry& plugins);
/// "0.1.0"
MOIETY_API const char* moiety_version();

}  // namespace moiety
