// DeepSpeed's DynamicLossScaler as a plain struct that advances on either device.
#pragma once

#include <cstdint>

#include <moiety/export.h>

namespace moiety {

struct LossScaler {
  double scale = 1;  // of the coming batch
  int64_t iteration = 0, last_overflow = -1, hysteresis_left = 2;
  // settings
  double min_scale = 1;
  int64_t window = 1000, hysteresis = 2;
  bool dynamic = false, consecutive_hysteresis = false;
  int32_t exhausted = 0;  // set when an overflow came at the minimum: the run cannot go on

  MOIETY_HD void update(bool overflow);
};

}  // namespace moiety
