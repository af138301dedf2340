// The checks of a gating policy with one set of options.
#pragma once

#include <cstdint>

#include "core/testing/gate_plan.h"
#include "core/testing/judge.h"
#include "core/testing/subject.h"

namespace moiety::testing {

class GateChecks {
 public:
  GateChecks(const Subject& subject, Report& report);

  void run();

 private:
  using Ran = std::unique_ptr<GateCall>;
  DeviceContext& context() const { return subject_.devices.main(); }
  Ran call(const GateInputs& in, uint8_t poison = 0xff);
  /// Forward and backward.
  Ran ran(const GateInputs& in, uint8_t poison = 0xff, const GateUpstream& upstream = {});

  Verdict plan_valid();
  Verdict repeatable();
  Verdict written();
  Verdict bounds();
  Verdict mask();
  Verdict in_flight();
  Verdict split();
  Verdict future_leak();
  Verdict gradient();
  Verdict grad_mode();
  Verdict resume();
  Verdict errors();
  Verdict edges();
  Verdict edge(const GateInputs& in);

  const Subject& subject_;
  Report& report_;
  std::shared_ptr<GatingPolicy> gate_;
  ComponentParameters parameters_;
  GateInputs random_;
};

}  // namespace moiety::testing
