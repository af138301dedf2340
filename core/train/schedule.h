// Schedule and loss scaler of a configuration.
#pragma once

#include "core/base/loss_scaler.h"
#include "core/base/schedule.h"
#include "core/config/run_config.h"

namespace moiety {

/// From `scheduler: {type, params}` and the optimizer's rate.
MOIETY_API Schedule make_schedule(const RunConfig& config);
/// From `fp16`: dynamic with loss_scale 0, fixed otherwise; 1 in the other precisions.
MOIETY_API LossScaler make_loss_scaler(const RunConfig& config);
/// Goes on where `saved` stopped, by the settings of `config`; a static scale is the config's.
MOIETY_API LossScaler resumed_loss_scaler(const RunConfig& config, const LossScaler& saved);

}  // namespace moiety
