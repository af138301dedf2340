// DeviceContext, Event and Graph: forwards to the backend of the device.
#include "core/device/device.h"

#include "core/base/check.h"
#include "core/device/context_impl.h"

namespace moiety {

namespace {

std::unique_ptr<DeviceContext::Impl> make_context(Device device, int threads) {
  if (device.type == DeviceType::kCpu) return cpu::make_context(threads);
  const std::string why = cuda_unavailable();
  MOIETY_CHECK(why.empty(), "device cuda:{} cannot be used: {}. Run on the CPU with run.device=cpu",
               device.index, why);
  if constexpr (kCuda) return cuda::make_context(device);
  return nullptr;
}

}  // namespace

std::string cuda_unavailable() {
  if constexpr (kCuda) return cuda::unavailable();
  return "this binary was built without CUDA (configure with the cuda preset)";
}

DeviceContext::DeviceContext(Device device, int threads)
    : device_(device), impl_(make_context(device, threads)) {}
DeviceContext::~DeviceContext() = default;

std::string DeviceContext::description() const { return impl_->description(); }
int DeviceContext::compute_capability() const { return impl_->compute_capability(); }
void* DeviceContext::stream() const { return impl_->stream(); }
void* DeviceContext::copy_stream() const { return impl_->copy_stream(); }
void* DeviceContext::cublas() const { return impl_->cublas(); }
void* DeviceContext::cublas_lt() const { return impl_->cublas_lt(); }
TensorView DeviceContext::workspace() const { return impl_->workspace(); }
void DeviceContext::copy(void* to, const void* from, size_t bytes) const {
  if (bytes > 0) impl_->copy(to, from, bytes);
}
void DeviceContext::zero(void* at, size_t bytes) const {
  if (bytes > 0) impl_->fill(at, 0, bytes);
}
void DeviceContext::synchronize() const { impl_->synchronize(); }
size_t DeviceContext::bytes_in_use() const { return memory_use(device_).now; }
size_t DeviceContext::peak_bytes() const { return memory_use(device_).peak; }
DeviceMemory device_memory(const DeviceContext& context) { return context.impl().memory(); }
void DeviceContext::reset_peak() const { reset_memory_peak(device_); }

Event::Event(Device device) {
  if constexpr (kCuda) {
    if (device.type == DeviceType::kCuda) {
      impl_ = cuda::make_event(device);
      return;
    }
  }
  impl_ = cpu::make_event();
}
Event::~Event() = default;
Event::Event(Event&&) noexcept = default;
Event& Event::operator=(Event&&) noexcept = default;
void Event::record(const DeviceContext& context) { impl_->record(context); }
bool Event::done() const { return impl_->done(); }
void Event::wait() const { impl_->wait(); }
float Event::milliseconds_since(const Event& since) const {
  return impl_->milliseconds_since(*since.impl_);
}

Graph::Graph(const DeviceContext& context, const std::function<void()>& work) {
  if constexpr (kCuda) {
    if (context.device().type == DeviceType::kCuda) {
      impl_ = cuda::make_graph(context, work);
      return;
    }
  }
  impl_ = cpu::make_graph(work);
}
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
void Graph::launch() { impl_->launch(); }

}  // namespace moiety
