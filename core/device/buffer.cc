// Buffer: owned memory, counted per device.
#include <atomic>
#include <utility>

#include "core/base/check.h"
#include "core/device/context_impl.h"

namespace moiety {

namespace {

// The counts belong to the process, as the memory does.
struct Count {
  std::atomic<size_t> now = 0, peak = 0;
};

Count& count_of(Device device) {
  static std::array<Count, 129> counts;  // the CPU, then each GPU
  const bool gpu = device.type == DeviceType::kCuda;
  return counts[gpu ? static_cast<size_t>(device.index) + 1 : 0];
}

}  // namespace

void count_memory(Device device, ptrdiff_t bytes) {
  Count& count = count_of(device);
  const size_t now = count.now += static_cast<size_t>(bytes);  // below 0 it wraps to less
  size_t peak = count.peak;
  while (peak < now && !count.peak.compare_exchange_weak(peak, now)) {
  }
}

MemoryUse memory_use(Device device) {
  const Count& count = count_of(device);
  return {count.now, count.peak};
}
void reset_memory_peak(Device device) {
  Count& count = count_of(device);
  count.peak = count.now.load();
}

Buffer::Buffer(Device device, size_t bytes) : bytes_(bytes), device_(device) {
  if (bytes == 0) return;
  if (device.type == DeviceType::kCpu) {
    data_ = cpu::allocate(bytes);
  } else if constexpr (kCuda) {
    data_ = cuda::allocate(device, bytes);
  } else {
    throw Error("Buffer: " + cuda_unavailable());
  }
  count_memory(device_, static_cast<ptrdiff_t>(bytes_));
}

Buffer Buffer::pinned(size_t bytes) {
  if constexpr (kCuda) {
    if (bytes > 0 && cuda_unavailable().empty()) {
      Buffer buffer;
      buffer.data_ = cuda::allocate_pinned(bytes);
      buffer.bytes_ = bytes;
      buffer.pinned_ = true;
      count_memory(buffer.device_, static_cast<ptrdiff_t>(bytes));
      return buffer;
    }
  }
  return Buffer(Device{}, bytes);
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      device_(other.device_),
      pinned_(other.pinned_) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(device_, other.device_);
  std::swap(pinned_, other.pinned_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ == nullptr) return;
  count_of(device_).now -= bytes_;
  if constexpr (kCuda) {
    if (pinned_) {
      cuda::release_pinned(data_);
      return;
    }
    if (device_.type == DeviceType::kCuda) {
      cuda::release(device_, data_);
      return;
    }
  }
  cpu::release(data_);
}

}  // namespace moiety
