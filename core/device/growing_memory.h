// Memory that grows at its end and stays where it is: what an arena fills. A stack in one piece has
// no ends of blocks that fit nothing.
#pragma once

#include <cstddef>
#include <memory>

#include "core/device/device.h"

namespace moiety {

class GrowingMemory {
 public:
  virtual ~GrowingMemory() = default;
  virtual void* data() const = 0;
  virtual size_t bytes() const = 0;
  /// At least `bytes` in all, or false where it cannot grow. Throws OutOfMemory.
  virtual bool grow(size_t bytes) = 0;
};

/// `bytes` to begin with. On CUDA it grows up to the device's memory; elsewhere, and on a device
/// that cannot map memory, it stays as it is, and has `least` bytes at least.
std::unique_ptr<GrowingMemory> make_growing_memory(Device device, size_t bytes, size_t least);
/// Exactly `bytes`, for ever.
std::unique_ptr<GrowingMemory> make_fixed_memory(Device device, size_t bytes);

namespace cuda {
/// Null where the device or its driver cannot map memory.
std::unique_ptr<GrowingMemory> make_mapped_memory(Device device, size_t bytes);
}  // namespace cuda

}  // namespace moiety
