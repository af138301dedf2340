// What the options of one schedule demand of each other.
#pragma once

#include "core/config/component.h"
#include "core/config/draft.h"

namespace moiety::config {

/// OneCycle: a cycled momentum needs an optimizer with betas, and stays below 1.
void check_one_cycle(const TypeAndParams& given, Draft& draft);
/// Megatron: one unit, lengths that fit into each other, rates in order.
void check_megatron(Draft& draft);

}  // namespace moiety::config
