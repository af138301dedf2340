#include "core/train/graph_mode.h"

#include <fmt/format.h>

#include <moiety/error.h>

namespace moiety {

bool logs_routing(const RunConfig& config) {
  const RouterConfig& router = config.moe.router;
  return config.moe.enabled && (!router.record.empty() || !router.replay.empty());
}

bool captures_steps(const RunConfig& config, const PluginRegistry& plugins,
                    const DeviceContext& context) {
  const std::string& wish = config.run.graph;
  if (wish == "off" || logs_routing(config)) return false;
  for (const ComponentInfo& info : plugins.loaded()) {
    if (info.traits.capturable) continue;
    if (wish == "auto") return false;
    throw ConfigError(
        fmt::format("run.graph is on, but {} {} cannot be captured in a graph; set run.graph=auto",
                    kind_name(info.kind), info.name));
  }
  return wish == "on" || context.device().type == DeviceType::kCuda;
}

}  // namespace moiety
