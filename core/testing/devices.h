// The devices that a run of the kit uses.
#pragma once

#include <memory>
#include <string>

#include "core/device/device.h"

namespace moiety::testing {

struct Devices {
  /// See CheckOptions::device. Throws Error for an unknown name and for "cuda" without a GPU.
  explicit Devices(const std::string& name);

  DeviceContext& main() const { return on_cuda ? *cuda : *cpu; }  ///< where the checks run

  std::unique_ptr<DeviceContext> cpu;
  std::unique_ptr<DeviceContext> cuda;  // nullptr where the checks of CUDA are skipped
  std::string why_no_cuda;
  bool on_cuda = false;
};

}  // namespace moiety::testing
