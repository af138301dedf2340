// A look at, and a hand in, the routing of a run: recordings and their replay.
#pragma once

#include <cstdint>

#include <moiety/gating_policy.h>

namespace moiety {

/// Exec::Impl::routing. It waits for the device, so that a step with a tap cannot be captured.
class MOIETY_API RoutingTap {
 public:
  virtual ~RoutingTap();
  /// After the gate's forward of a training pass, before anything reads the plan. May overwrite
  /// index, weight and position. Layers come in the order of a forward.
  virtual void on_plan(Exec& exec, int64_t layer, const RoutingPlan& plan) = 0;
};

}  // namespace moiety
