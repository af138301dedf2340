// What profiled steps (run.profile) leave behind: a table of phases and a trace.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/device/phase_timer.h"

namespace moiety {

class MOIETY_API StepProfile {
 public:
  /// Takes what the timer recorded of one step; waits for the device.
  void add(int64_t step, PhaseTimer& timer);
  int64_t steps() const { return steps_; }
  /// Phases by time, with their share; `tokens` are those of a step.
  std::string table(int64_t tokens) const;
  /// In the Trace Event Format, for Perfetto or chrome://tracing: one lane for the device, one for
  /// the host, which queues ahead of it. Steps follow one another.
  std::string chrome_trace() const;

 private:
  int64_t steps_ = 0;
  double end_ = 0;  // microseconds, of the last span
  std::vector<PhaseTime> phases_;
  Json::Array events_;
};

}  // namespace moiety
