// How long calls take on a device, and the rates that this device reaches today.
#pragma once

#include <functional>

#include "core/device/device.h"

namespace moiety::bench {

struct Times {
  double median = 0, least = 0, most = 0;  // milliseconds
};

/// Times `iterations` calls after `warm_up` others, each from the end of the one before: what lies
/// between two calls counts. `call` gets the number of the call, warm-up included. Events on CUDA,
/// the host's clock on the CPU.
MOIETY_API Times time_calls(const DeviceContext& context, int warm_up, int iterations,
                            const std::function<void(int)>& call);

/// Dense product in TFLOP/s: bf16 8192^3 on CUDA, f32 2048^3 on the CPU. A share of it is what a
/// figure is worth on a machine whose clock nobody knows.
struct Ceilings {
  double burst = 0;      // 25 products after a warm-up
  double sustained = 0;  // the last second of three: under the card's power limit
};
MOIETY_API Ceilings measure_ceilings(DeviceContext& context);

}  // namespace moiety::bench
