#include "core/train/param_groups.h"

#include <fmt/format.h>

#include <set>

#include "core/base/check.h"
#include "core/base/strings.h"

namespace moiety {

namespace {

/// Parameters that `pattern` matches. Throws when there are none.
std::vector<TableEntry*> matches(const std::string& pattern, const std::string& where,
                                 ParameterTable& table) {
  std::vector<TableEntry*> found;
  std::vector<std::string> names;
  for (TableEntry& entry : table.entries()) {
    if (entry.buffer) continue;
    names.push_back(entry.name);
    if (glob_match(pattern, entry.name)) found.push_back(&entry);
  }
  if (!found.empty()) return found;
  constexpr size_t kShown = 6;
  std::string candidates = did_you_mean(pattern, names);
  if (candidates.empty()) {
    const bool all = names.size() <= kShown;
    if (!all) names.resize(kShown);
    candidates = "; there are " + join(names, ", ") + (all ? "" : ", ...");
  }
  throw ConfigError(fmt::format("{}: '{}' matches no parameter{}", where, pattern, candidates));
}

}  // namespace

void apply_param_groups(const std::vector<ParamGroup>& groups, ParameterTable& table) {
  std::set<const TableEntry*> taken;
  for (const ParamGroup& group : groups) {
    size_t mine = 0;
    for (const std::string& pattern : group.match) {
      for (TableEntry* entry : matches(pattern, group.where, table)) {
        if (!taken.insert(entry).second) continue;
        ++mine;
        entry->lr_scale = static_cast<float>(group.lr_scale);
        if (group.decay_scale) entry->decay_scale = static_cast<float>(*group.decay_scale);
      }
    }
    if (mine > 0) continue;
    throw ConfigError(fmt::format(
        "{}: every parameter of this group is in a group before it; a parameter belongs to the "
        "first that matches, so put the narrower pattern first",
        group.where));
  }
}

}  // namespace moiety
