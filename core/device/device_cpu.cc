// The CPU as a device: a thread pool, and streams, events and graphs that are done at once.
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <string>

#include "core/base/check.h"
#include "core/device/context_impl.h"

namespace moiety::cpu {

namespace {

class CpuContext final : public DeviceContext::Impl {
 public:
  explicit CpuContext(int threads) : pool_(threads) {}
  std::string description() const override {
    return fmt::format("CPU, {} thread{}", pool_.threads(), pool_.threads() == 1 ? "" : "s");
  }
  void copy(void* to, const void* from, size_t bytes) const override {
    std::memmove(to, from, bytes);
  }
  void fill(void* at, uint8_t byte, size_t bytes) const override { std::memset(at, byte, bytes); }
  void synchronize() const override {}
  DeviceMemory memory() const override {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    DeviceMemory memory;
    memory.total = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * page;
    memory.free = static_cast<size_t>(sysconf(_SC_AVPHYS_PAGES)) * page;
    std::ifstream info("/proc/meminfo");  // counts the caches that make room
    for (std::string key, unit; info >> key;) {
      if (key == "MemAvailable:" && info >> memory.free) memory.free <<= 10;
      std::getline(info, unit);
    }
    return memory;
  }
  bool capturing() const override { return false; }
  const ThreadPool* pool() const override { return &pool_; }

 private:
  ThreadPool pool_;
};

class CpuEvent final : public Event::Impl {
 public:
  void record(const DeviceContext& /*context*/) override {}
  bool done() const override { return true; }
  void wait() const override {}
  float milliseconds_since(const Event::Impl& /*since*/) const override { return 0; }
};

class CpuGraph final : public Graph::Impl {
 public:
  explicit CpuGraph(const std::function<void()>& work) : work_(work) {}
  void launch() override { work_(); }

 private:
  std::function<void()> work_;
};

}  // namespace

std::unique_ptr<DeviceContext::Impl> make_context(int threads) {
  return std::make_unique<CpuContext>(threads);
}
std::unique_ptr<Event::Impl> make_event() { return std::make_unique<CpuEvent>(); }
std::unique_ptr<Graph::Impl> make_graph(const std::function<void()>& work) {
  return std::make_unique<CpuGraph>(work);
}

void* allocate(size_t bytes) {
  constexpr size_t kAlignment = 256;
  void* at = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  MOIETY_CHECK(at != nullptr, "out of memory: {} bytes on the CPU", bytes);
  return at;
}
void release(void* at) noexcept { std::free(at); }

}  // namespace moiety::cpu
