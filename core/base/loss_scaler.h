// DeepSpeed's DynamicLossScaler (runtime/fp16/loss_scaler.py) as a plain struct that advances on
// either device.
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
  int32_t exhausted = 0;     // set when an overflow came at the minimum: the run cannot go on
  bool raise_at_min = true;  // a setting: false = stay at the minimum and go on

  /// After a batch. An overflow at the minimum sets `exhausted` and changes nothing else, unless
  /// raise_at_min is off.
  MOIETY_HD void update(bool overflow) {
    if (!dynamic) return;
    if (overflow) {
      if (hysteresis == 1 || hysteresis_left == 1) {
        if (scale == min_scale && raise_at_min) {
          exhausted = 1;
          return;
        }
        scale = scale / 2 > min_scale ? scale / 2 : min_scale;
      } else {
        --hysteresis_left;
      }
      last_overflow = iteration;
    } else {
      if (consecutive_hysteresis) hysteresis_left = hysteresis;
      const int64_t stable = iteration - last_overflow - 1;
      if (stable > 0 && stable % window == 0) {
        if (!consecutive_hysteresis) hysteresis_left = hysteresis;
        scale *= 2;
      }
    }
    ++iteration;
  }
};

}  // namespace moiety
