// Warns of experts that starve: a run whose loss looks fine may use one expert of eight.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/train/step_record.h"

namespace moiety {

class MOIETY_API BalanceWatch {
 public:
  /// A warning when the smoothed imbalance has risen by half since the last warning (or the
  /// beginning) and lies above 2, or when experts have gone dead; at most one in 50 steps.
  std::optional<std::string> observe(const StepRecord& record);

 private:
  double smooth_ = 0, reference_ = 0;
  int64_t seen_ = 0, quiet_until_ = 0, dead_ = 0;
};

}  // namespace moiety
