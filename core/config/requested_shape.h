// What a configuration asks of a MoE layer, before the expert type has its say.
#pragma once

#include <cstdint>

#include <moiety/expert_type.h>

#include "core/config/run_config.h"

namespace moiety {

/// The argument of ExpertType::layer_shape for a layer of `experts`, the `moe_layer`-th of
/// config.layers.
LayerShape requested_shape(const MoeConfig& config, int64_t experts, int64_t moe_layer);

}  // namespace moiety
