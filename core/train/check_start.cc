#include "core/train/check_start.h"

#include "core/model/model.h"
#include "core/train/param_groups.h"
#include "core/train/session.h"
#include "core/train/teacher_source.h"

namespace moiety {

void check_start(const RunConfig& config, PluginRegistry& plugins) {
  check_first_weights(config);
  check_teacher(config, plugins);
  DeviceContext context({DeviceType::kCpu}, /*threads=*/1);
  const auto model = make_model(config, plugins, context, ModelMemory::kNone);
  apply_param_groups(config.param_groups, model->parameters());
}

}  // namespace moiety
