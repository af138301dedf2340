#include "core/config/load.h"

#include <utility>

#include <moiety/error.h>

#include "core/config/balance_warning.h"
#include "core/config/check_components.h"
#include "core/config/component.h"
#include "core/config/compose.h"
#include "core/config/draft.h"
#include "core/config/interpolate.h"
#include "core/config/keys.h"
#include "core/config/moe.h"
#include "core/config/read_keys.h"
#include "core/config/resolve.h"
#include "core/config/rules.h"
#include "core/config/scheduler.h"
#include "core/plugin/registry.h"

namespace moiety {
namespace config {
namespace {

namespace fs = std::filesystem;

/// Relative to the file that names them; those of overrides to the current directory.
void load_plugins(const Node& root, PluginRegistry& plugins, Draft& d) {
  const Node::Entry* entry = root.find("plugins");
  if (entry == nullptr || !d.ok({"plugins"})) return;
  for (size_t i = 0; i < d.config.plugins.size(); ++i) {
    const Mark& mark = entry->value.items[i].mark;
    const fs::path folder = mark.line == 0 ? "" : fs::path(mark.source).parent_path();
    const fs::path file = fs::absolute(folder / d.config.plugins[i]).lexically_normal();
    d.config.plugins[i] = file;
    const std::string path = "plugins[" + std::to_string(i) + "]";
    std::error_code ignored;
    if (!fs::is_regular_file(file, ignored)) {
      d.report.add(mark, path, "no file '" + (folder / entry->value.items[i].text).string() + "'");
      continue;
    }
    try {
      plugins.add_file(file);
    } catch (const PluginError& e) {
      throw PluginError(mark.text() + ": " + path + ": " + e.what());
    }
  }
}

void derive_defaults(Draft& d) {
  for (const Key& key : Keys::all().list()) {
    if (key.derive && !d.is_given(key.path())) key.derive(d);
  }
}

void choose_components(PluginRegistry& plugins, Draft& d) {
  for (const Key& key : Keys::all().list()) {
    const bool in_moe = key.section() == "moe";
    if (key.role == KeyRole::kComponent && !in_moe) read_component(key, plugins, d);
  }
  if (const Value* lr = find_option(d.config.optimizer.options, "lr")) {
    if (const double* rate = std::get_if<double>(lr)) d.config.base_lr = *rate;
  }
  read_scheduler(d);
  choose_moe_components(plugins, d);
}

RunConfig finish(Node root, const fs::path& file, const LoadOptions& options,
                 PluginRegistry& plugins) {
  Draft d;
  d.config.file = file;
  d.config.world_size = options.world_size;
  d.config.overrides = options.overrides;
  d.top = root.mark;
  apply_overrides(root, options.overrides, d.report);
  interpolate(root, d.report);
  read_keys(root, d);
  load_plugins(root, plugins, d);
  derive_defaults(d);
  choose_components(plugins, d);
  resolve_batch(d);
  resolve_expert_widths(d);
  resolve_moe_layers(d);
  check_model(d);
  check_precision(d);
  check_recordings(d);
  add_warnings(d);
  d.report.throw_if_any();  // components are made of values that are right
  check_components(plugins, d);
  d.report.throw_if_any();
  const std::string unbalanced = unbalanced_warning(d.config, plugins);
  if (!unbalanced.empty()) d.config.warnings.push_back(unbalanced);
  d.config.accepted = std::move(d.notes);
  write_resolved(d);
  return std::move(d.config);
}

}  // namespace
}  // namespace config

const Value* find_option(const OptionMap& options, std::string_view name) {
  for (const auto& [key, value] : options) {
    if (key == name) return &value;
  }
  return nullptr;
}

RunConfig load_config(const std::filesystem::path& file, const LoadOptions& options,
                      PluginRegistry& plugins) {
  return config::finish(config::compose_file(file), file, options, plugins);
}

RunConfig parse_config(const std::string& yaml, const std::string& shown_name,
                       const LoadOptions& options, PluginRegistry& plugins) {
  return config::finish(config::compose_text(yaml, shown_name), shown_name, options, plugins);
}

}  // namespace moiety
