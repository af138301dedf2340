// One key in words, and two configurations compared.
#pragma once

#include <string>

#include <moiety/export.h>

#include "core/config/run_config.h"

namespace moiety {

class PluginRegistry;

/// Meaning, values, default and related names of a key ("moe.k"), an option of a component
/// ("moe.gate.params.k"), a component ("optimizer") or a section ("moe"). With `run`, also its
/// value there and where that came from. Throws ConfigError for what is no key.
MOIETY_API std::string explain_key(const std::string& path, PluginRegistry& plugins,
                                   const RunConfig* run = nullptr);

/// A line for each value that differs, or stands in one alone; "" when none does. Names are those
/// of the configurations' files.
MOIETY_API std::string config_diff(const RunConfig& a, const RunConfig& b);

}  // namespace moiety
