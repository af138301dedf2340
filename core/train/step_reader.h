// Brings the numbers of each step to the host without waiting: copies into a ring of pinned memory,
// read once the device has passed them.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "core/train/step_record.h"
#include "core/train/step_runner.h"

namespace moiety {

class MOIETY_API StepReader {
 public:
  /// `sink` gets the records in order.
  StepReader(const DeviceContext& context, const StepRunner& runner, const RunConfig& config,
             std::function<void(const StepRecord&)> sink);

  /// After step number `step` (from 1) was put on the stream; `tokens` were trained on so far.
  void push(int64_t step, int64_t tokens);
  /// Hands out what has arrived; with `all`, waits for everything.
  void poll(bool all);

 private:
  struct Slot {
    Slot(const DeviceContext& context, size_t bytes)
        : memory(Buffer::pinned(bytes)), arrived(context.device()) {}
    Buffer memory;
    Event arrived;
    int64_t step = 0, tokens = 0;
  };
  void hand_out(Slot& slot);
  const DeviceContext& context_;
  const StepRunner& runner_;
  int64_t micro_batches_;
  double dead_share_, last_time_;
  int64_t last_tokens_ = -1;
  std::function<void(const StepRecord&)> sink_;
  std::deque<Slot> slots_;
  size_t first_ = 0, in_flight_ = 0;  // a ring of slots_
};

/// Seconds of a clock that only runs forward.
MOIETY_API double now_seconds();

}  // namespace moiety
