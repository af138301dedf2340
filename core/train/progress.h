// The line a person watches: rewritten in place on a terminal, one line a report elsewhere.
#pragma once

#include <cstdint>
#include <string>

#include "core/config/run_config.h"
#include "core/train/step_record.h"

namespace moiety {

class MOIETY_API Progress {
 public:
  /// `live`: standard output is a terminal. `done` steps, tokens and seconds lie behind the run.
  Progress(const RunConfig& config, bool live, int64_t done_steps, int64_t done_tokens,
           double done_seconds);
  void show(const StepRecord& record, double seconds);
  /// Ends the live line, so that other output starts on a line of its own.
  void finish_line();

  /// "step 120/500  loss 2.314  9.1 k tokens/s  balance 1.2  dropped 0.4%  ETA 1:10"
  std::string line(const StepRecord& record, double seconds);

 private:
  double seconds_left(const StepRecord& record, double seconds) const;
  const RunConfig& config_;
  bool live_, open_ = false;
  int64_t first_step_, first_tokens_, every_;
  double first_seconds_, loss_ = 0, shown_at_ = 0;
  size_t width_ = 0;
};

/// 75 -> "1:15", 4000 -> "1:06:40".
MOIETY_API std::string clock_text(double seconds);

}  // namespace moiety
