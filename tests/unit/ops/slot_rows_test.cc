// Rows of slots: padding between segments is neither read nor written.
#include <moiety/ops.h>

#include "tests/unit/device_test.h"

namespace moiety {

class SlotRows : public DeviceTest {
 protected:
  /// Two segments with a gap: slots 0-1 and 4.
  ExpertBatch batch() {
    ExpertBatch b;
    b.start = put(std::vector<int32_t>{0, 4}, {2});
    b.count = put(std::vector<int32_t>{2, 1}, {2});
    b.row = put(std::vector<int32_t>{2, 0, -1, -1, 1}, {5});
    b.weight = put({2, 3, 0, 0, 5}, DType::kF32, {5});
    return b;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, SlotRows, kFloatDevices, case_name);

TEST_P(SlotRows, GatherTakesRowsAndLeavesPadding) {
  const TensorView x = put({1, 2, 3, 4, 5, 6}, dtype(), {3, 2});
  const TensorView out = put(std::vector<float>(10, -7), dtype(), {5, 2});
  ops::gather_rows(exec_, batch(), x, out);
  EXPECT_EQ(get(out), (std::vector<float>{5, 6, 1, 2, -7, -7, -7, -7, 3, 4}));
}

TEST_P(SlotRows, AnEmptyRowMapIsTheIdentity) {
  ExpertBatch b = batch();
  b.row = {};
  const TensorView x = put({0, 1, 2, 3, 4}, dtype(), {5, 1});
  const TensorView out = put(std::vector<float>(5, -7), dtype(), {5, 1});
  ops::gather_rows(exec_, b, x, out);
  EXPECT_EQ(get(out), (std::vector<float>{0, 1, -7, -7, 4}));
}

TEST_P(SlotRows, ScaleUsesTheWeightAndEmptyIsOne) {
  const TensorView x = put({1, 1, 1, 1, 1}, dtype(), {5, 1});
  ops::scale_rows(exec_, batch(), x);
  EXPECT_EQ(get(x), (std::vector<float>{2, 3, 1, 1, 5}));
  ExpertBatch b = batch();
  b.weight = {};
  ops::scale_rows(exec_, b, x);
  EXPECT_EQ(get(x), (std::vector<float>{2, 3, 1, 1, 5}));
}

TEST_P(SlotRows, RowDotOfWideRows) {
  const int64_t D = 101;
  const auto a = normal(static_cast<size_t>(5 * D), 1), b = normal(static_cast<size_t>(5 * D), 2);
  const TensorView x = put(a, dtype(), {5, D}), y = put(b, dtype(), {5, D});
  const TensorView out = put(std::vector<float>(5, -7), DType::kF32, {5});
  ops::row_dot(exec_, batch(), x, y, out);
  const auto xs = get(x), ys = get(y);
  std::vector<float> want(5, -7);
  for (const size_t n : {0u, 1u, 4u}) {
    double sum = 0;
    for (size_t d = 0; d < size_t(D); ++d) {
      sum += double(xs[n * size_t(D) + d]) * double(ys[n * size_t(D) + d]);
    }
    want[n] = static_cast<float>(sum);
  }
  EXPECT_LT(worst(get(out), want), 1e-5);
}

}  // namespace moiety
