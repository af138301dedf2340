// Values from masters: once after a run's weights were drawn or loaded, so a plain loop serves.
#include "core/ops/master_values.h"

#include <string>

#include <moiety/master_weight.h>
#include <moiety/rows.cuh>

#include "core/ops/dtype.h"

namespace moiety::ops {

namespace {

template <class T>
struct Round {
  const float* master;
  T* value;
  int64_t n, piece;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t end = (i + 1) * piece < n ? (i + 1) * piece : n;
    for (int64_t j = i * piece; j < end; ++j) value[j] = value_of_master<T>(master[j]);
  }
};

}  // namespace

void master_values(Exec& exec, ConstTensorView master, TensorView value) {
  const int64_t n = master.numel(), piece = exec.is_cuda() ? 4 : 4096;
  if (value.numel() != n) {
    throw Error("master_values: " + std::to_string(n) + " masters for " +
                std::to_string(value.numel()) + " values");
  }
  with_float(value.dtype, "master_values", [&](auto element) {
    using T = decltype(element);
    for_each_row(exec, (n + piece - 1) / piece,
                 Round<T>{master.data<float>(), value.data<T>(), n, piece});
  });
}

}  // namespace moiety::ops
