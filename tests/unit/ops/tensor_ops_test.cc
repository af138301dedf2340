// Fill, copy, accumulate and add, on both devices.
#include <moiety/ops.h>

#include "core/ops/routing.h"
#include "tests/unit/device_test.h"

namespace moiety {
namespace {

class TensorOpsTest : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, TensorOpsTest, kFloatDevices, case_name);

TEST_P(TensorOpsTest, FillWritesEveryElement) {
  for (const int64_t n : {0, 1, 7, 5000}) {
    TensorView x = make(dtype(), {n});
    ops::fill(exec_, x, 1.5);
    EXPECT_EQ(get(x), std::vector<float>(static_cast<size_t>(n), 1.5f));
    TensorView i = make(DType::kI32, {n});
    ops::fill(exec_, i, -3);
    EXPECT_EQ(get_i32(i), std::vector<int32_t>(static_cast<size_t>(n), -3));
  }
  TensorView bytes = make(DType::kU8, {9});
  ops::fill(exec_, bytes, 1);
  uint8_t back[9] = {};
  download(back, bytes, 9);
  EXPECT_EQ(back[8], 1);
}

TEST_P(TensorOpsTest, CopyConverts) {
  for (const int64_t n : {1, 7, 9001}) {
    const std::vector<float> values = normal(static_cast<size_t>(n), 1);
    for (const DType to : {DType::kF32, DType::kBF16, DType::kF16}) {
      const TensorView from = put(values, dtype(), {n}), out = make(to, {n});
      ops::copy(exec_, from, out);
      EXPECT_EQ(get(out), get(put(get(from), to, {n}))) << name_of(to);
    }
  }
}

TEST_P(TensorOpsTest, AddAndAccumulate) {
  for (const int64_t n : {1, 7, 9001}) {
    const auto size = static_cast<size_t>(n);
    const TensorView a = put(normal(size, 1), dtype(), {n}), b = put(normal(size, 2), dtype(), {n});
    const auto fa = get(a), fb = get(b);
    std::vector<float> sum(size);
    for (size_t i = 0; i < size; ++i) sum[i] = fa[i] + fb[i];
    const TensorView out = make(dtype(), {n});
    ops::add(exec_, a, b, out);
    EXPECT_EQ(get(out), get(put(sum, dtype(), {n})));  // rounded once
    const TensorView total = put(fa, DType::kF32, {n});
    ops::accumulate(exec_, b, total);
    EXPECT_EQ(get(total), sum);
    ops::add(exec_, a, b, a);  // in place
    EXPECT_EQ(get(a), get(out));
  }
}

TEST_P(TensorOpsTest, RefusesOtherSizes) {
  EXPECT_THROW(ops::copy(exec_, make(dtype(), {3}), make(dtype(), {4})), Error);
  EXPECT_THROW(ops::add(exec_, make(dtype(), {3}), make(dtype(), {3}), make(dtype(), {4})), Error);
}

}  // namespace
}  // namespace moiety
