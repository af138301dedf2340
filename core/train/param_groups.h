// `optimizer.groups` on the parameters of a model.
#pragma once

#include <string>
#include <vector>

#include "core/config/run_config.h"
#include "core/model/parameter_table.h"

namespace moiety {

/// Each parameter takes the scales of the first group that matches its name. Throws ConfigError
/// where a pattern matches nothing, or a group's parameters all belong to groups before it. Before
/// ParameterTable::slices.
MOIETY_API void apply_param_groups(const std::vector<ParamGroup>& groups, ParameterTable& table);

/// Lines for the start of a run: how many parameters have which scales. "" without groups.
MOIETY_API std::string param_groups_report(const std::vector<ParamGroup>& groups,
                                           const ParameterTable& table);

}  // namespace moiety
