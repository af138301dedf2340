// Loads configurations from texts with the plugins of the tree.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <moiety/error.h>

#include "core/config/load.h"
#include "core/plugin/registry.h"

namespace moiety {

inline const std::filesystem::path kSource = MOIETY_SOURCE_DIR;

inline PluginRegistry tree_plugins() {
  return PluginRegistry({std::filesystem::path(MOIETY_BINARY_DIR) / "lib/moiety/plugins"});
}

/// `text` with what every configuration needs: data and a batch size.
inline RunConfig parse(const std::string& text, const std::vector<std::string>& overrides = {},
                       int64_t ranks = 1) {
  PluginRegistry plugins = tree_plugins();
  std::string whole = "data: {type: synthetic}\n" + text;
  if (text.find("batch_size") == std::string::npos) whole += "\ntrain_batch_size: 8\n";
  return parse_config(whole, "test.yaml", {overrides, ranks}, plugins);
}

inline std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {},
                            int64_t ranks = 1) {
  try {
    parse(text, overrides, ranks);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

template <class T>
T option(const ComponentChoice& choice, const std::string& name) {
  const Value* value = find_option(choice.options, name);
  if (value == nullptr) throw Error("no option " + name);
  return std::get<T>(*value);
}

inline std::string source_of(const RunConfig& config, const std::string& path) {
  for (const Provenance& p : config.provenance) {
    if (p.path == path) return p.source;
  }
  return "no such path";
}

}  // namespace moiety
