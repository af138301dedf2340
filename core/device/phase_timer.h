// Where a step's time goes: named, nested scopes, timed by events on the device's stream. Costs one
// test of a pointer when off. Not for captured steps: profiled steps run as a stream. In builds
// with CUDA a scope is an NVTX range too, which Nsight shows.
//
//   PhaseScope scope(exec, "experts.forward");
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/device/exec_impl.h"

namespace moiety {

/// Time of one phase over all its scopes, without the scopes inside it.
struct PhaseTime {
  std::string name;
  double milliseconds = 0;
  int64_t calls = 0;
};

/// One scope of one step. Microseconds since the timer's first scope: when the host was in it, and
/// when the device worked on what was queued in it (on the CPU the same).
struct PhaseSpan {
  std::string name;
  double host_begin = 0, host_end = 0;
  double device_begin = 0, device_end = 0;
};

class MOIETY_API PhaseTimer {
 public:
  explicit PhaseTimer(const DeviceContext& context);
  ~PhaseTimer();
  /// Opens a scope inside the innermost open one. `name` must outlive the timer (a literal).
  void begin(const char* name);
  void end();
  /// Waits for the device, then forgets what was recorded. In the order of first appearance; with
  /// `spans`, each scope is appended to them, in the order of their beginnings.
  std::vector<PhaseTime> collect(std::vector<PhaseSpan>* spans = nullptr);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Adds `more` to `phases`, by name.
MOIETY_API void add_phases(const std::vector<PhaseTime>& more, std::vector<PhaseTime>& phases);

/// Times its own lifetime where exec has a timer.
class PhaseScope {
 public:
  PhaseScope(const Exec& exec, const char* name) : timer_(exec.impl().phases) {
    if (timer_ != nullptr) timer_->begin(name);
  }
  ~PhaseScope() {
    if (timer_ != nullptr) timer_->end();
  }
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

 private:
  PhaseTimer* timer_;
};

}  // namespace moiety
