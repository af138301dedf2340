// Whether anything keeps the experts' loads even.
#pragma once

#include <string>

#include "core/config/run_config.h"

namespace moiety {

class PluginRegistry;

/// Not empty where neither a loss nor the gate balances: every coefficient is 0, or the only one
/// that is not weighs a loss that the gate does not have. A gate that keeps the loads even by
/// itself says so (facet "balances_itself").
std::string unbalanced_warning(const RunConfig& config, PluginRegistry& plugins);

}  // namespace moiety
