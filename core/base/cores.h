// Which of the machine's cores this process may use.
#pragma once

#include <thread>
#include <vector>

#include <moiety/export.h>

namespace moiety {

/// Numbers of the cores that the affinity of this thread allows; never empty.
MOIETY_API std::vector<int> allowed_cores();
/// How many threads those cores are good for: fewer than they are where a control group (a
/// container, a Slurm job) limits the processor time. At least 1.
MOIETY_API int usable_cores();
/// Keeps `thread` on one core. Without effect where the system refuses.
MOIETY_API void pin(std::thread& thread, int core);

}  // namespace moiety
