// The gate around calls that work on the device.
#pragma once

#include <cstdint>
#include <utility>

#include "core/device/exec_impl.h"
#include "core/plugin/gate.h"

namespace moiety {

/// in_plugin() for a call that is given `exec`. With MOIETY_SYNC_CHECK=1 it waits for the device
/// inside the gate, so that an asynchronous error is charged to the component that caused it.
template <class Who, class F>
void in_component(Exec& exec, const Who& who, const char* call, int64_t layer, F&& f) {
  in_plugin(who, call, layer, [&] {
    std::forward<F>(f)();
    if (exec.impl().sync_check) exec.impl().context->synchronize();
  });
}

}  // namespace moiety
