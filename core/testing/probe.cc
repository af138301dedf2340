#include "core/testing/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <future>

#include "core/testing/numeric.h"
#include "core/testing/stall.h"

namespace moiety::testing {

namespace {

using Make = std::function<Probe(DeviceContext&)>;

constexpr double kTolerance = 1e-4;  // f32, another order of summation
constexpr std::chrono::seconds kPatience{5};

Probe unguarded(Probe probe) {
  probe.bench->leave_guards_off();
  return probe;
}

Verdict cpu_equals_cuda(const Subject& subject, const Make& make) {
  if (!subject.info.traits.cpu) return Verdict::skip("its traits leave the CPU out");
  Probe cpu = make(*subject.devices.cpu), cuda = make(*subject.devices.cuda);
  cpu.launch(), cuda.launch();
  const double error = difference(cuda.results(), cpu.results());
  return error <= kTolerance ? "" : fmt::format("differs by {:.2g} of the largest value", error);
}

/// The stream is held up: a call that waits for the device cannot come back.
Verdict no_sync(const Subject& subject, const Make& make) {
  Probe probe = unguarded(make(*subject.devices.cuda));
  probe.launch();  // memory and handles are made now
  subject.devices.cuda->synchronize();
  Stall stall(*subject.devices.cuda);
  auto returned = std::async(std::launch::async, probe.launch);
  const bool waited = returned.wait_for(kPatience) != std::future_status::ready;
  stall.release();
  returned.get();
  subject.devices.cuda->synchronize();
  return waited ? "a call waits for the device" : "";
}

Verdict capture(const Subject& subject, const Make& make) {
  if (!subject.info.traits.capturable) return Verdict::skip("not promised by its traits");
  Probe stream = make(*subject.devices.cuda);
  Probe replay = unguarded(make(*subject.devices.cuda));
  const int launches = stream.repeats ? 1 : 3;
  for (int i = 0; i < launches; ++i) stream.launch();
  replay.launch();  // memory and handles are made now
  Graph graph(*subject.devices.cuda, replay.launch);
  for (int i = 1; i < std::max(launches, 2); ++i) graph.launch();
  return same_bits(replay.results(), stream.results()) ? ""
                                                       : "a replayed graph gives another result";
}

std::string time_of(const Subject& subject, const Make& make) {
  constexpr int kCalls = 200;
  Probe probe = unguarded(make(subject.devices.main()));
  probe.launch();
  subject.devices.main().synchronize();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kCalls; ++i) probe.launch();
  subject.devices.main().synchronize();
  const std::chrono::duration<double, std::micro> spent = std::chrono::steady_clock::now() - begin;
  return fmt::format("{:.1f} us a call, {} bytes of scratch", spent.count() / kCalls,
                     probe.bench->scratch_bytes());
}

}  // namespace

void check_probe(const Subject& subject, Report& report,
                 std::initializer_list<const char*> stands_on, const Make& make) {
  const auto check = [&](const char* name, std::initializer_list<const char*> needs,
                         const auto& body) {
    report.check(name, needs, [&]() -> Verdict {
      if (!subject.devices.cuda) return Verdict::skip(subject.devices.why_no_cuda);
      if (!subject.info.traits.cuda) return Verdict::skip("its traits leave CUDA out");
      return body(subject, make);
    });
  };
  check("cpu_equals_cuda", stands_on, cpu_equals_cuda);
  check("no_sync", stands_on, no_sync);
  check("capture", {"no_sync"}, capture);  // a wait is an error in a capture as well
  if (subject.perf) report.note("perf", time_of(subject, make));
}

}  // namespace moiety::testing
