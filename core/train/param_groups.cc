#include "core/train/param_groups.h"

#include <fmt/format.h>

#include <set>

#include "core/base/strings.h"

namespace moiety {

namespace {

void require_match(const std::string& pattern, const std::string& where,
                   const ParameterTable& table) {
  std::vector<std::string> names;
  for (const TableEntry& entry : table.entries()) {
    if (entry.buffer) continue;
    if (glob_match(pattern, entry.name)) return;
    names.push_back(entry.name);
  }
  constexpr size_t kShown = 6;
  std::string candidates = did_you_mean(pattern, names);
  if (candidates.empty()) {
    const bool all = names.size() <= kShown;
    if (!all) names.resize(kShown);
    candidates = "; there are " + join(names, ", ") + (all ? "" : ", ...");
  }
  throw ConfigError(fmt::format("{}: '{}' matches no parameter{}", where, pattern, candidates));
}

/// The first group one of whose patterns fits `name`, or nullptr.
const ParamGroup* group_of(const std::vector<ParamGroup>& groups, const std::string& name) {
  for (const ParamGroup& group : groups) {
    for (const std::string& pattern : group.match) {
      if (glob_match(pattern, name)) return &group;
    }
  }
  return nullptr;
}

}  // namespace

void apply_param_groups(const std::vector<ParamGroup>& groups, ParameterTable& table) {
  for (const ParamGroup& group : groups) {
    for (const std::string& pattern : group.match) require_match(pattern, group.where, table);
  }
  std::set<const ParamGroup*> used;
  for (TableEntry& entry : table.entries()) {
    const ParamGroup* group = entry.buffer ? nullptr : group_of(groups, entry.name);
    if (group == nullptr) continue;
    used.insert(group);
    entry.lr_scale = static_cast<float>(group->lr_scale);
    if (group->decay_scale) entry.decay_scale = static_cast<float>(*group->decay_scale);
  }
  for (const ParamGroup& group : groups) {
    if (used.count(&group) > 0) continue;
    throw ConfigError(fmt::format(
        "{}: every parameter of this group is in a group before it; a parameter belongs to the "
        "first that matches, so put the narrower pattern first",
        group.where));
  }
}

std::string param_groups_report(const std::vector<ParamGroup>& groups,
                                const ParameterTable& table) {
  std::string text;
  for (const ParamGroup& group : groups) {
    int64_t tensors = 0, elements = 0;
    for (const TableEntry& entry : table.entries()) {
      if (entry.buffer || group_of(groups, entry.name) != &group) continue;
      ++tensors;
      elements += entry.parameter.value.numel();
    }
    text += fmt::format("group       {}: {} in {} tensors, rate x {}", join(group.match, " "),
                        short_count(static_cast<double>(elements)), tensors, group.lr_scale);
    text += group.decay_scale ? fmt::format(", decay x {}\n", *group.decay_scale) : "\n";
  }
  return text;
}

}  // namespace moiety
