// What the gate of a configuration does about balance, asked of an instance of its own.
#pragma once

#include <string>

#include "core/config/run_config.h"
#include "core/plugin/registry.h"

namespace moiety {

/// Not empty where moe.moe_loss_coeff is the only balancer that is on and the gate has neither a
/// loss for it to weigh nor another way to keep the loads even (facet "balances_itself").
MOIETY_API std::string no_gate_loss_warning(const RunConfig& config, PluginRegistry& plugins);

}  // namespace moiety
