// What a fresh run would refuse at its start beside what its configuration says by itself.
#pragma once

#include "core/config/run_config.h"
#include "core/plugin/registry.h"

namespace moiety {

/// The sources of weights (model.init_from, the objective's teacher), and optimizer.groups against
/// the parameters of the model, which is declared without memory. Opens no data and changes
/// nothing. Throws ConfigError with the place in the configuration; PluginError.
MOIETY_API void check_start(const RunConfig& config, PluginRegistry& plugins);

}  // namespace moiety
