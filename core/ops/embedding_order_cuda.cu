// A stable radix sort of (id, token), then where each id begins. Capturable: all memory is scratch.
#include <cub/device/device_radix_sort.cuh>
#include <limits>
#include <string>

#include <moiety/rows.cuh>

#include "core/ops/embedding_order.h"

namespace moiety::ops::cuda {

namespace {

struct Count {
  int32_t* out;
  MOIETY_HD void operator()(int64_t i) const { out[i] = static_cast<int32_t>(i); }
};

/// Item i in [0, T] writes offset[v] = i for the ids v after the one before i, up to the one at i.
struct Offsets {
  const int32_t* sorted;
  int32_t* offset;
  int64_t T, V;
  MOIETY_HD int64_t bounded(int64_t i) const {
    if (i < 0) return -1;
    if (i >= T) return V;
    const int64_t id = sorted[i];
    return id < 0 ? -1 : (id < V ? id : V);
  }
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t last = bounded(i);
    for (int64_t v = bounded(i - 1) + 1; v <= last; ++v) offset[v] = static_cast<int32_t>(i);
  }
};

void check(cudaError_t status) {
  if (status != cudaSuccess) {
    throw Error(std::string("embedding_backward: sorting the tokens failed: ") +
                cudaGetErrorString(status));
  }
}

}  // namespace

TokenOrder sort_tokens(Exec& exec, ConstTensorView ids, int64_t vocabulary) {
  const int64_t tokens = ids.numel();
  if (tokens > std::numeric_limits<int32_t>::max()) {
    throw Error("embedding_backward: more than 2^31 - 1 tokens in one micro-batch");
  }
  const TokenOrder sorted{exec.scratch(DType::kI32, {vocabulary + 1}),
                          exec.scratch(DType::kI32, {tokens})};
  const TensorView keys = exec.scratch(DType::kI32, {tokens});
  if (tokens > 0) {
    const auto stream = static_cast<cudaStream_t>(exec.stream());
    const TensorView count = exec.scratch(DType::kI32, {tokens});
    for_each_row(exec, tokens, Count{count.data<int32_t>()});
    const int32_t *key_in = ids.data<int32_t>(), *value_in = count.data<int32_t>();
    int32_t *key_out = keys.data<int32_t>(), *value_out = sorted.order.data<int32_t>();
    const int n = static_cast<int>(tokens);
    size_t bytes = 0;
    check(cub::DeviceRadixSort::SortPairs(nullptr, bytes, key_in, key_out, value_in, value_out, n,
                                          0, 32, stream));
    const TensorView memory =
        exec.scratch(DType::kU8, {static_cast<int64_t>(bytes > 0 ? bytes : 1)});
    check(cub::DeviceRadixSort::SortPairs(memory.ptr, bytes, key_in, key_out, value_in, value_out,
                                          n, 0, 32, stream));
  }
  for_each_row(exec, tokens + 1,
               Offsets{keys.data<int32_t>(), sorted.offset.data<int32_t>(), tokens, vocabulary});
  return sorted;
}

}  // namespace moiety::ops::cuda
