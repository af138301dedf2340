// The texts that a run begins and ends with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/train/evaluator.h"

namespace moiety {

/// Device, parameters per kind, memory, batch, plugins with versions and files.
MOIETY_API std::string start_report(const RunConfig& config, const Session& session,
                                    const std::vector<PluginIdentity>& plugins);
/// Loss and the load of the experts on validation data.
MOIETY_API std::string evaluation_report(const Evaluation& evaluation);
/// Beside the entropies of the training text, for data source text; "" for others.
MOIETY_API std::string entropy_report(const RunConfig& config, double loss);

}  // namespace moiety
