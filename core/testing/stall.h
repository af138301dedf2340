// Holds up a CUDA stream until it is released, so that a call that waits for the device shows.
#pragma once

#include <memory>

#include "core/device/device.h"

namespace moiety::testing {

class Stall {
 public:
  explicit Stall(const DeviceContext& context);  ///< from here on the stream stands
  ~Stall();                                      ///< releases
  void release();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace moiety::testing
