// The best rows of every column, against a sort.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <moiety/ops.h>

#include "tests/unit/device_test.h"

namespace moiety {

class TopKColumns : public DeviceTest {
 protected:
  /// [E, C]: the rows of each column, best first, then sorted; kUnused past the candidates.
  static std::vector<int32_t> by_sorting(const std::vector<float>& x,
                                         const std::vector<uint8_t>& mask, int64_t T, int64_t E,
                                         int64_t C) {
    std::vector<int32_t> out;
    for (int64_t e = 0; e < E; ++e) {
      std::vector<int32_t> rows;
      for (int32_t t = 0; t < T; ++t) {
        if (mask.empty() || mask[static_cast<size_t>(t)] != 0) rows.push_back(t);
      }
      std::stable_sort(rows.begin(), rows.end(), [&](int32_t a, int32_t b) {
        return x[static_cast<size_t>(a * E + e)] > x[static_cast<size_t>(b * E + e)];
      });
      rows.resize(std::min(rows.size(), static_cast<size_t>(C)));
      std::sort(rows.begin(), rows.end());
      rows.resize(static_cast<size_t>(C), kUnused);
      out.insert(out.end(), rows.begin(), rows.end());
    }
    return out;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, TopKColumns, kF32Devices, case_name);

TEST_P(TopKColumns, MatchesASort) {
  for (const int64_t T : {1, 7, 255, 256, 257, 1500}) {
    for (const bool ties : {false, true}) {
      const int64_t E = 5, C = std::max<int64_t>(1, T / 3);
      std::vector<float> x = normal(static_cast<size_t>(T * E), 3);
      if (ties) {
        for (float& v : x) v = std::round(v);
        x[0] = -0.f;
      }
      std::vector<uint8_t> mask(static_cast<size_t>(T), 1);
      for (size_t t = 0; t < mask.size(); ++t) mask[t] = t % 7 != 3;
      for (const bool masked : {false, true}) {
        const TensorView index = make(DType::kI32, {E, C}), weight = make(DType::kF32, {E, C});
        ops::topk_columns(exec_, put(x, DType::kF32, {T, E}),
                          masked ? put(mask, {T}) : TensorView{}, index, weight);
        const auto want = by_sorting(x, masked ? mask : std::vector<uint8_t>{}, T, E, C);
        ASSERT_EQ(get_i32(index), want) << T << (ties ? " with ties" : "");
        const std::vector<float> w = get(weight);
        for (size_t i = 0; i < want.size(); ++i) {
          const auto e = static_cast<int64_t>(i) / C;
          ASSERT_EQ(w[i], want[i] < 0 ? 0 : x[static_cast<size_t>(want[i] * E + e)]);
        }
      }
    }
  }
}

TEST_P(TopKColumns, FewCandidatesLeaveSlotsUnused) {
  const std::vector<uint8_t> mask = {0, 1, 0, 1};
  const TensorView index = make(DType::kI32, {1, 3}), weight = make(DType::kF32, {1, 3});
  ops::topk_columns(exec_, put({4, 1, 3, NAN}, DType::kF32, {4, 1}), put(mask, {4}), index, weight);
  EXPECT_EQ(get_i32(index), (std::vector<int32_t>{1, 3, kUnused}));
  ops::topk_columns(exec_, put({NAN, 1, NAN, -5}, DType::kF32, {4, 1}), {}, index, weight);
  EXPECT_EQ(get_i32(index), (std::vector<int32_t>{0, 1, 3})) << "numbers before NaN";
}

TEST_P(TopKColumns, BackwardScatters) {
  const TensorView dscores = make(DType::kF32, {3, 2});
  ops::topk_columns_backward(exec_, ints({0, 2, 1, kUnused}, {2, 2}),
                             put({1, 2, 3, 4}, DType::kF32, {2, 2}), dscores);
  EXPECT_EQ(get(dscores), (std::vector<float>{1, 0, 0, 3, 2, 0}));
}

}  // namespace moiety
