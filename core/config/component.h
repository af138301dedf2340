// {type, params} of plugins and of the core's schedules.
#pragma once

#include <string>
#include <vector>

#include <moiety/options.h>

#include "core/config/draft.h"
#include "core/config/keys.h"
#include "core/plugin/registry.h"

namespace moiety::config {

/// The two keys of a component's map; other keys are reported. A node that is no map is reported.
struct TypeAndParams {
  std::string type;  // "" when not given
  Mark type_mark;
  const Node* params = nullptr;
  bool good = false;
};
TypeAndParams read_type_and_params(const Node* node, const std::string& path, Draft& draft);

/// An option whose value stands elsewhere: a `moe.*` key of the gate.
struct OptionSource {
  std::string option, path;
  const Node* node = nullptr;
};

/// Every option of `schema`, given or default. `path` is that of `params`; `owner` ("gating policy
/// 'topk'") is named when an option does not exist.
OptionMap read_options(const std::vector<OptionSpec>& schema, const Node* params,
                       const std::string& path, const std::string& owner,
                       const std::vector<OptionSource>& elsewhere, Draft& draft);

/// "gating policy", "expert type", "optimizer", "data source", "objective".
std::string kind_text(ComponentKind kind);

/// The plugin component that `type` names (as written, else in lower case), or nullptr after
/// reporting what there is.
const ComponentInfo* find_component(ComponentKind kind, const std::string& type, const Mark& mark,
                                    const std::string& path, PluginRegistry& plugins, Draft& draft);

/// Resolves the components whose type stands in the file or has a fixed default; gate and expert
/// are choose_moe_components' (moe.h).
void read_component(const Key& key, PluginRegistry& plugins, Draft& draft);

}  // namespace moiety::config
