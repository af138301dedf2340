// What a backend of the device layer implements: the CPU in device_cpu.cc, CUDA in *_cuda.cc. The
// functions in namespace cuda are referenced only where CUDA is built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <typeindex>
#include <unordered_map>

#include "core/base/thread_pool.h"
#include "core/device/device.h"
#include "core/device/memory.h"

namespace moiety {

struct DeviceContext::Impl {
  virtual ~Impl() = default;
  virtual std::string description() const = 0;
  virtual int compute_capability() const { return 0; }
  virtual void copy(void* to, const void* from, size_t bytes) const = 0;
  virtual void fill(void* at, uint8_t byte, size_t bytes) const = 0;
  virtual void synchronize() const = 0;
  virtual DeviceMemory memory() const = 0;
  virtual bool capturing() const = 0;                         ///< a graph of this stream's work
  virtual const ThreadPool* pool() const { return nullptr; }  ///< the CPU's
  virtual void* stream() const { return nullptr; }
  virtual void* copy_stream() const { return nullptr; }
  virtual void* cublas() const { return nullptr; }
  virtual void* cublas_lt() const { return nullptr; }
  virtual TensorView workspace() const { return {}; }

  /// What an op keeps per device, made at the first request: its table of algorithms, for one.
  template <class T>
  T& attached() {
    std::shared_ptr<void>& slot = attachments_[typeid(T)];
    if (slot == nullptr) slot = std::make_shared<T>();
    return *static_cast<T*>(slot.get());
  }

 private:
  std::unordered_map<std::type_index, std::shared_ptr<void>> attachments_ = {};
};

struct Event::Impl {
  virtual ~Impl() = default;
  virtual void record(const DeviceContext& context) = 0;
  virtual bool done() const = 0;
  virtual void wait() const = 0;
  virtual float milliseconds_since(const Impl& since) const = 0;
};

struct Graph::Impl {
  virtual ~Impl() = default;
  virtual void launch() = 0;
};

namespace cpu {
std::unique_ptr<DeviceContext::Impl> make_context(int threads);
std::unique_ptr<Event::Impl> make_event();
std::unique_ptr<Graph::Impl> make_graph(const std::function<void()>& work);
void* allocate(size_t bytes);
void release(void* at) noexcept;
}  // namespace cpu

namespace cuda {
std::string unavailable();
std::unique_ptr<DeviceContext::Impl> make_context(Device device);
std::unique_ptr<Event::Impl> make_event(Device device);
std::unique_ptr<Graph::Impl> make_graph(const DeviceContext& context,
                                        const std::function<void()>& work);
[[noreturn]] void throw_out_of_memory(Device device, size_t bytes);
void* allocate(Device device, size_t bytes);
void release(Device device, void* at) noexcept;
void* allocate_pinned(size_t bytes);
void release_pinned(void* at) noexcept;
}  // namespace cuda

/// Bytes that Buffers of this process hold on a device.
struct MemoryUse {
  size_t now = 0, peak = 0;
};
MemoryUse memory_use(Device device);
void reset_memory_peak(Device device);
/// Of memory that is not a Buffer's; below 0 when it is given back.
void count_memory(Device device, ptrdiff_t bytes);

}  // namespace moiety
