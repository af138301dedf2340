// SIGINT and SIGTERM as a wish: the loop finishes its step, saves and leaves. A second signal
// kills.
#pragma once

#include <csignal>

#include <moiety/export.h>

namespace moiety {

/// Handlers are in place for as long as one lives; one at a time.
class MOIETY_API StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  bool requested() const { return number() != 0; }
  int number() const;  ///< of the signal that came, or 0

 private:
  struct sigaction interrupt_ = {}, terminate_ = {};  // what was there before
};

}  // namespace moiety
