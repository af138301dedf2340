// The thread pool of an Exec on the CPU, for ops that cut their own work.
#pragma once

#include <moiety/exec.h>

#include "core/base/thread_pool.h"

namespace moiety {

/// Throws Error where exec runs on another device.
MOIETY_API const ThreadPool& cpu_pool(const Exec& exec);

}  // namespace moiety
