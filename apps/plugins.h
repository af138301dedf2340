// What the files of `moiety plugins` share. Each function is one subcommand and returns the exit
// code.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/plugin/registry.h"

namespace moiety::apps {

/// The kind of that name; throws ConfigError with the names there are.
ComponentKind require_kind(const std::string& name);

/// One line a plugin file, from its stamp: nothing is loaded. Empty `kind` = all.
int list_plugins(const PluginRegistry& registry, const std::string& kind);
/// Options, traits, file and stamp of one component.
int show_plugin(PluginRegistry& registry, const std::string& kind, const std::string& name,
                bool markdown);
/// The conformance kit on one file; kFailedCheck when a check fails.
/// `device` is auto, cpu or cuda; `perf` adds times; `examples` are NAME=TEXT for required options.
int check_plugin_file(PluginRegistry& registry, const std::filesystem::path& file,
                      const std::string& device, bool perf,
                      const std::vector<std::string>& examples);
/// Brings the pages of docs/plugins up to date, or, with `check`, only says what is not;
/// kFailedCheck when something is left.
int plugin_pages(PluginRegistry& registry, const std::filesystem::path& folder, bool check);
/// A buildable project in `directory` (default: <name>_<kind> in the current folder).
int new_plugin(const std::string& kind, const std::string& name, std::filesystem::path directory);

}  // namespace moiety::apps
