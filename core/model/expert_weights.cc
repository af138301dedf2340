// Weights of an expert function.
#include "core/model/expert_weights.h"

namespace moiety {

ConstTensorView weights(const Exec& exec, const Parameter& parameter) {
  return parameter.compute_copy({.dtype = exec.compute_dtype()}).values;
}

}  // namespace moiety
