#include "core/train/stop_signal.h"

namespace moiety {

namespace {
volatile std::sig_atomic_t received = 0;  // a signal handler can reach nothing else
void on_signal(int number) { received = number; }
}  // namespace

StopSignal::StopSignal() {
  received = 0;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigaction(SIGINT, &action, &interrupt_);
  sigaction(SIGTERM, &action, &terminate_);
}

StopSignal::~StopSignal() {
  sigaction(SIGINT, &interrupt_, nullptr);
  sigaction(SIGTERM, &terminate_, nullptr);
}

int StopSignal::number() const { return received; }

}  // namespace moiety
