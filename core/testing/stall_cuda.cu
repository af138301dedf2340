// A stall by a host function in the stream: no kernel occupies the device meanwhile.
#include <cuda_runtime.h>

#include <future>

#include "core/testing/stall.h"

namespace moiety::testing {

struct Stall::Impl {
  std::promise<void> gate;
  std::shared_future<void> open{gate.get_future()};
  bool released = false;
};

namespace {

void wait_until_open(void* handle) {
  // The function owns its handle: the stall may be gone when the stream gets here.
  const std::unique_ptr<std::shared_future<void>> open(
      static_cast<std::shared_future<void>*>(handle));
  open->wait();
}

}  // namespace

Stall::Stall(const DeviceContext& context) : impl_(std::make_shared<Impl>()) {
  auto open = std::make_unique<std::shared_future<void>>(impl_->open);
  const cudaError_t status =
      cudaLaunchHostFunc(static_cast<cudaStream_t>(context.stream()), wait_until_open, open.get());
  if (status != cudaSuccess) {
    throw Error(std::string("cudaLaunchHostFunc failed: ") + cudaGetErrorName(status));
  }
  open.release();
}

Stall::~Stall() { release(); }

void Stall::release() {
  if (!impl_->released) impl_->gate.set_value();
  impl_->released = true;
}

}  // namespace moiety::testing
