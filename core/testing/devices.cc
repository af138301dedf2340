#include "core/testing/devices.h"

#include "core/base/check.h"

namespace moiety::testing {

Devices::Devices(const std::string& name)
    : cpu(std::make_unique<DeviceContext>(Device{DeviceType::kCpu, 0})) {
  MOIETY_CHECK(name == "auto" || name == "cpu" || name == "cuda",
               "plugins check: device '{}', expected auto, cpu or cuda", name);
  why_no_cuda = name == "cpu" ? "the CPU alone was asked for" : cuda_unavailable();
  on_cuda = name == "cuda";
  MOIETY_CHECK(!on_cuda || why_no_cuda.empty(), "plugins check: no CUDA device: {}", why_no_cuda);
  if (why_no_cuda.empty()) cuda = std::make_unique<DeviceContext>(Device{DeviceType::kCuda, 0});
}

}  // namespace moiety::testing
