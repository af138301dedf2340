// The SDK's out-of-line definitions: with them every public class has one vtable and one type_info,
// in libmoiety_core, so exceptions and casts work across libraries.
#include <moiety/component.h>
#include <moiety/data_source.h>
#include <moiety/expert_type.h>
#include <moiety/gating_policy.h>
#include <moiety/names.h>
#include <moiety/objective.h>
#include <moiety/optimizer.h>

#include "core/base/strings.h"

namespace moiety {

Error::~Error() = default;
ConfigError::~ConfigError() = default;
PluginError::~PluginError() = default;

Component::~Component() = default;
GatingPolicy::~GatingPolicy() = default;
ExpertType::~ExpertType() = default;
Optimizer::~Optimizer() = default;
DataSource::~DataSource() = default;
Objective::~Objective() = default;

bool name_matches(std::string_view pattern, std::string_view name) {
  return glob_match(pattern, name);
}

}  // namespace moiety
