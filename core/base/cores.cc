#include "core/base/cores.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

namespace moiety {

namespace {

/// Cores' worth of time that the control group grants, or infinity (cgroup v2: "max 100000" or
/// "150000 100000", microseconds of each period).
double granted_cores() {
  std::ifstream own("/proc/self/cgroup");
  std::string group;
  for (std::string line; std::getline(own, line);) {
    if (line.starts_with("0::")) group = line.substr(3);
  }
  double least = INFINITY;
  while (true) {  // a group's limit holds for those inside it
    std::ifstream file("/sys/fs/cgroup" + group + "/cpu.max");
    std::string quota;
    double period = 0;
    if (file >> quota >> period && quota != "max" && period > 0) {
      least = std::min(least, std::stod(quota) / period);
    }
    const size_t parent = group.rfind('/');
    if (group.empty() || parent == std::string::npos) return least;
    group.resize(parent);
  }
}

}  // namespace

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (CPU_ISSET(i, &set)) cores.push_back(i);
    }
  }
  if (cores.empty()) cores.push_back(0);
  return cores;
}

int usable_cores() {
  const auto allowed = static_cast<double>(allowed_cores().size());
  return std::max(1, static_cast<int>(std::ceil(std::min(allowed, granted_cores()))));
}

void pin(std::thread& thread, int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(thread.native_handle(), sizeof set, &set);
}

}  // namespace moiety
