// What components refuse when they are made or asked for their sizes is the user's to mend, so it
// is found with the other mistakes of the file, not after memory was taken.
#pragma once

#include "core/config/draft.h"
#include "core/plugin/registry.h"

namespace moiety::config {

/// Makes every component once but the data source (it opens files) and asks gate and expert for the
/// sizes of each MoE layer. Reports their ConfigErrors; throws PluginError, with the place in the
/// file, for anything else that they throw.
void check_components(PluginRegistry& plugins, Draft& draft);

}  // namespace moiety::config
