// What makes a routing plan valid.
#pragma once

#include "core/testing/gate_call.h"

namespace moiety::testing {

/// "" or the first thing that is wrong with the plan of a forward: a code out of range, a weight
/// that is negative or not finite, a pair twice, a place taken twice or past the capacity.
std::string plan_problem(const GateCall& call);
/// "" or the padded token that is routed.
std::string padding_problem(const GateCall& call);
/// "" or what is not finite in losses, scores and gradients.
std::string finite_problem(const GateCall& call);
/// "" or which output of the two calls differs; ignored elements are left out.
std::string plan_difference(const GateCall& a, const GateCall& b);

}  // namespace moiety::testing
