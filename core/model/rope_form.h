// The rotation that a configuration asks for.
#pragma once

#include "core/config/run_config.h"
#include "core/ops/attention.h"

namespace moiety {

/// Throws ConfigError for an unknown model.rope_scaling.type.
MOIETY_API ops::RopeForm rope_form(const ModelConfig& config);
/// Factor on the scores beside 1 / sqrt(head_dim): DeepSeek's mscale, squared; else 1.
MOIETY_API double rope_score_factor(const ModelConfig& config);

}  // namespace moiety
