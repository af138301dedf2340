#include "core/device/growing_memory.h"

#include <algorithm>

namespace moiety {

namespace {

class FixedMemory final : public GrowingMemory {
 public:
  FixedMemory(Device device, size_t bytes) : buffer_(device, bytes) {}
  void* data() const override { return buffer_.data(); }
  size_t bytes() const override { return buffer_.bytes(); }
  bool grow(size_t bytes) override { return bytes <= buffer_.bytes(); }

 private:
  Buffer buffer_;
};

}  // namespace

std::unique_ptr<GrowingMemory> make_fixed_memory(Device device, size_t bytes) {
  return std::make_unique<FixedMemory>(device, bytes);
}

std::unique_ptr<GrowingMemory> make_growing_memory(Device device, size_t bytes, size_t least) {
  if constexpr (kCuda) {
    if (device.type == DeviceType::kCuda) {
      auto mapped = cuda::make_mapped_memory(device, bytes);
      if (mapped != nullptr) return mapped;
    }
  }
  return make_fixed_memory(device, std::max(bytes, least));
}

}  // namespace moiety
