// One MoE layer of a configuration, forward and backward: router, dispatch, experts, combine,
// weight gradients written and not accumulated.
#pragma once

#include <string>

#include "core/bench/report.h"
#include "core/config/run_config.h"
#include "core/plugin/registry.h"

namespace moiety::bench {

/// Compares output, dx and every gradient with the same layer in f32 on the first tokens, then
/// times `iterations` calls of micro_batch_size * sequence_length tokens in the configuration's
/// precision, in FP8 where it says so. Inputs change from call to call and lie in different memory.
MOIETY_API Row bench_layer(const RunConfig& config, const std::string& name,
                           PluginRegistry& plugins, DeviceContext& context, int iterations);

}  // namespace moiety::bench
