// A counting sort: two passes over the tokens.
#include <algorithm>

#include "core/ops/embedding_order.h"

namespace moiety::ops::cpu {

TokenOrder sort_tokens(Exec& exec, ConstTensorView ids, int64_t vocabulary) {
  const int64_t tokens = ids.numel();
  const TokenOrder sorted{exec.scratch(DType::kI32, {vocabulary + 1}),
                          exec.scratch(DType::kI32, {tokens})};
  const int32_t* id = ids.data<int32_t>();
  int32_t *offset = sorted.offset.data<int32_t>(), *order = sorted.order.data<int32_t>();
  std::fill_n(offset, vocabulary + 1, 0);
  const auto known = [&](int64_t t) { return id[t] >= 0 && id[t] < vocabulary; };
  for (int64_t t = 0; t < tokens; ++t) {
    if (known(t)) ++offset[id[t] + 1];
  }
  for (int64_t v = 0; v < vocabulary; ++v) offset[v + 1] += offset[v];
  for (int64_t t = 0; t < tokens; ++t) {
    if (known(t)) order[offset[id[t]]++] = static_cast<int32_t>(t);
  }
  // Each offset has moved to the end of its id, which is the beginning of the next.
  for (int64_t v = vocabulary; v > 0; --v) offset[v] = offset[v - 1];
  offset[0] = 0;
  return sorted;
}

}  // namespace moiety::ops::cpu
