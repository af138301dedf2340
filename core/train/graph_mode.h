// Whether steps are captured in a CUDA graph.
#pragma once

#include "core/config/run_config.h"
#include "core/device/device.h"
#include "core/plugin/registry.h"

namespace moiety {

/// The configuration records or replays its routing, which the host looks at in every step.
MOIETY_API bool logs_routing(const RunConfig& config);
/// run.graph, the device and every loaded component allow it. Throws ConfigError where run.graph is
/// on and a component cannot be captured.
MOIETY_API bool captures_steps(const RunConfig& config, const PluginRegistry& plugins,
                               const DeviceContext& context);

}  // namespace moiety
