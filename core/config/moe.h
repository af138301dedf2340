// What the moe section means: which layers, how many experts, which gate.
#pragma once

#include "core/config/draft.h"
#include "core/plugin/registry.h"

namespace moiety::config {

/// moe.granularity and moe.shared_expert -> widths; what excludes one another.
void resolve_expert_widths(Draft& draft);

/// moe.layers and moe.num_experts -> one count a MoE layer; the rule of expert parallelism.
void resolve_moe_layers(Draft& draft);

/// moe.gate, or the gate that moe.k chooses, with the options that moe.* keys fill; moe.expert.
void choose_moe_components(PluginRegistry& plugins, Draft& draft);

}  // namespace moiety::config
