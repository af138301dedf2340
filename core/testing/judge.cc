#include "core/testing/judge.h"

#include <fmt/format.h>

#include <cmath>

namespace moiety::testing {

Verdict judge_grad_mode(ComponentParameters& parameters, const std::function<void()>& call) {
  parameters.set(GradMode::kOverwrite);
  parameters.poison_gradients();
  call();
  const std::vector<float> once = parameters.gradients();
  if (!finite(once)) return "with kOverwrite the gradients depend on what was there before";
  parameters.set(GradMode::kAccumulate);
  call();
  const std::vector<float> twice = parameters.gradients();
  parameters.set(GradMode::kOverwrite);
  call();
  if (!same_bits(parameters.gradients(), once)) {
    return "with kOverwrite the gradients depend on what was there before";
  }
  for (size_t i = 0; i < once.size(); ++i) {
    const float error = std::abs(twice[i] - 2 * once[i]);
    if (!(error <= 1e-4f * (1 + std::abs(once[i])))) {
      return fmt::format("with kAccumulate {} became {}, expected {}", once[i], twice[i],
                         2 * once[i]);
    }
  }
  return "";
}

TensorView retyped(const ConstTensorView& tensor, DType dtype) {
  TensorView view;
  view.ptr = const_cast<void*>(tensor.raw());
  view.shape = tensor.shape, view.stride = tensor.stride, view.rank = tensor.rank;
  view.dtype = dtype, view.device = tensor.device;
  return view;
}

Verdict judge_refusal(DType wrong, const std::string& what, const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    const bool named = std::string(e.what()).find(name_of(wrong)) != std::string::npos;
    return named ? ""
                 : fmt::format("{} of {} are refused without naming the dtype: {}", what,
                               name_of(wrong), e.what());
  }
  return fmt::format("{} of {} were taken without an Error", what, name_of(wrong));
}

}  // namespace moiety::testing
