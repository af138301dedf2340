// Checks of a component's calls as a whole: what a GPU adds (the CPU's results, no wait for the
// device, capture in a graph), and their time.
#pragma once

#include <functional>
#include <initializer_list>

#include "core/testing/subject.h"
#include "core/testing/workbench.h"

namespace moiety::testing {

/// A component's calls on one device with everything prepared: `launch` may run again and again.
struct Probe {
  std::function<void()> launch;
  std::function<std::vector<float>()> results;
  std::shared_ptr<Workbench> bench;  // of `launch`
  bool repeats = true;               // launching again gives the same results
};

/// `cpu_equals_cuda`, `no_sync` and `capture`, skipped with the reason where there is no GPU, and
/// with Subject::perf `perf`: time of a launch and scratch, on the kit's small sizes. `make` builds
/// the same calls on any device.
void check_probe(const Subject& subject, Report& report,
                 std::initializer_list<const char*> stands_on,
                 const std::function<Probe(DeviceContext&)>& make);

}  // namespace moiety::testing
