// Whole training steps of a configuration: forward, backward, clipping, optimizer, real routing.
#pragma once

#include <string>

#include "core/bench/report.h"
#include "core/config/run_config.h"
#include "core/plugin/registry.h"

namespace moiety::bench {

struct StepBenchOptions {
  int iterations = 20;
  int profile = 0;  // steps timed phase by phase after the others
};

struct StepBench {
  Row row;
  std::string memory;  // a table, of the first step
  std::string phases;  // a table, or empty
  std::string trace;   // of the same steps, see StepProfile::chrome_trace; or empty
};

/// Steps as `train` runs them, on batches of config.data, as a captured graph where run.graph and
/// the plugins allow that. Useful FLOPs: three times the forward's, of the choices that were kept.
MOIETY_API StepBench bench_step(const RunConfig& config, const std::string& name,
                                PluginRegistry& plugins, const StepBenchOptions& options);

}  // namespace moiety::bench
