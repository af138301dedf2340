// YAML (or JSON) file + overrides -> RunConfig. Reports every error at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config/run_config.h"

namespace moiety {

class PluginRegistry;

struct LoadOptions {
  std::vector<std::string> overrides;  // "a.b=value" | "~a.b"
  int64_t world_size = 1;
};

/// Throws ConfigError; its text has one line per error: "file:line:col: path: problem; ...".
MOIETY_API RunConfig load_config(const std::filesystem::path& file, const LoadOptions& options,
                                 PluginRegistry& plugins);
/// A complete configuration from the text that a checkpoint or a run directory holds.
MOIETY_API RunConfig parse_config(const std::string& yaml, const std::string& shown_name,
                                  const LoadOptions& options, PluginRegistry& plugins);
/// resolved_yaml with the provenance of every value as a comment.
MOIETY_API std::string annotated_yaml(const RunConfig& config);
/// JSON Schema (draft 2020-12) of the file, with the plugins that can be found.
MOIETY_API std::string json_schema(PluginRegistry& plugins);
/// docs/config.md.
MOIETY_API std::string config_reference(PluginRegistry& plugins);

}  // namespace moiety
