// `optimizer.groups`: parameters with rates and decays of their own.
#pragma once

#include <string>
#include <vector>

#include <moiety/options.h>

#include "core/config/draft.h"

namespace moiety::config {

/// A list of {match, lr_scale, decay_scale} -> RunConfig::param_groups. Reports every mistake.
void read_groups(const Node& node, Draft& draft);
/// The groups as one line of YAML; "[]" when there are none.
std::string groups_text(const RunConfig& config);
/// The keys of a group, for the reference and the JSON Schema.
const std::vector<OptionSpec>& group_schema();

}  // namespace moiety::config
