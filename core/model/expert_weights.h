// What the two plain expert functions share.
#pragma once

#include <moiety/ops.h>

namespace moiety {

/// The values of a matrix in the dtype of the products.
ConstTensorView weights(const Exec& exec, const Parameter& parameter);

}  // namespace moiety
