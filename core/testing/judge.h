// Checks that several kinds share.
#pragma once

#include <functional>

#include "core/testing/parameters.h"

namespace moiety::testing {

/// `call` runs a forward and a backward on `parameters`: with kOverwrite the gradients do not
/// depend on what was there, with kAccumulate they are added.
Verdict judge_grad_mode(ComponentParameters& parameters, const std::function<void()>& call);

/// The same memory under another dtype.
TensorView retyped(const ConstTensorView& tensor, DType dtype);
/// `call` got `what` as `wrong`, which nobody takes: it throws an Error that names the dtype.
Verdict judge_refusal(DType wrong, const std::string& what, const std::function<void()>& call);

}  // namespace moiety::testing
