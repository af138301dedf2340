// The learning rate schedules of the core, with DeepSpeed's names, options and defaults.
#pragma once

#include <string>
#include <vector>

#include <moiety/options.h>

#include "core/config/draft.h"

namespace moiety::config {

struct SchedulerType {
  std::string name, summary;
  std::vector<OptionSpec> schema;
};
const std::vector<SchedulerType>& scheduler_types();

/// `scheduler: {type, params}` -> RunConfig; without one the rate is constant.
void read_scheduler(Draft& draft);

}  // namespace moiety::config
