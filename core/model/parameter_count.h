// How large a model is, from its declarations: no memory is taken.
#pragma once

#include <cstdint>

#include "core/config/run_config.h"

namespace moiety {

class PluginRegistry;

struct ParameterCount {
  int64_t total = 0;    // trained or frozen, without buffers
  int64_t experts = 0;  // of the routed experts, of all layers
  int64_t active = 0;   // that a token passes: of a layer's experts as many as the gate chooses
};

/// Throws as make_model does.
MOIETY_API ParameterCount count_parameters(const RunConfig& config, PluginRegistry& plugins);

}  // namespace moiety
