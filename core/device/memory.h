// How much memory a device has.
#pragma once

#include <cstddef>

#include "core/device/device.h"

namespace moiety {

struct DeviceMemory {
  size_t free = 0, total = 0;  // bytes; of other processes too. On the CPU of the machine
};
MOIETY_API DeviceMemory device_memory(const DeviceContext& context);

}  // namespace moiety
