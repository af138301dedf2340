// Places within experts, capacity, and who is dropped.
#include <algorithm>
#include <numeric>

#include <moiety/ops.h>

#include "tests/unit/device_test.h"

namespace moiety {

class Positions : public DeviceTest {
 protected:
  std::vector<int32_t> random_choices(int64_t n, int32_t experts) {
    std::mt19937 random(11);
    std::vector<int32_t> index(static_cast<size_t>(n));
    for (int32_t& e : index) {
      e = random() % 9 == 0 ? kUnused
                            : static_cast<int32_t>(random() % static_cast<uint32_t>(experts));
    }
    return index;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, Positions, kF32Devices, case_name);

TEST_P(Positions, TokenOrderAndCapacity) {
  const TensorView index = ints({0, 1, 0, 0, 1, kUnused}, {6, 1});
  const TensorView position = make(DType::kI32, {6, 1});
  ops::assign_positions(exec_, ops::SlotOrder::kToken, 2, 2, index, position);
  EXPECT_EQ(get_i32(index), (std::vector<int32_t>{0, 1, 0, dropped(0), 1, kUnused}));
  EXPECT_EQ(get_i32(position), (std::vector<int32_t>{0, 0, 1, -1, 1, -1}));
}

TEST_P(Positions, FirstChoicesAreSeatedBeforeSecondOnes) {
  const TensorView index = ints({0, 1, 1, 0, 0, 1}, {3, 2});
  const TensorView position = make(DType::kI32, {3, 2});
  ops::assign_positions(exec_, ops::SlotOrder::kChoice, 2, 2, index, position);
  EXPECT_EQ(get_i32(index), (std::vector<int32_t>{0, 1, 1, dropped(0), 0, dropped(1)}));
  EXPECT_EQ(get_i32(position), (std::vector<int32_t>{0, 1, 0, -1, 1, -1}));
}

TEST_P(Positions, ManyPiecesMatchAPlainWalk) {
  for (const int64_t T : {1, 127, 128, 129, 1000}) {
    const int64_t K = 2;
    const int32_t E = 5;
    const auto choices = random_choices(T * K, E);
    const TensorView index = ints(choices, {T, K}), position = make(DType::kI32, {T, K});
    ops::assign_positions(exec_, ops::SlotOrder::kToken, E, 30, index, position);
    std::vector<int32_t> next(5), want_index = choices, want_position(choices.size());
    for (size_t i = 0; i < choices.size(); ++i) {
      const int32_t e = choices[i];
      want_position[i] = e == kUnused ? -1 : next[static_cast<size_t>(e)]++;
      if (want_position[i] >= 30) want_index[i] = dropped(e), want_position[i] = -1;
    }
    EXPECT_EQ(get_i32(index), want_index) << T;
    EXPECT_EQ(get_i32(position), want_position) << T;
  }
}

TEST_P(Positions, TheHighestPriorityStaysAndSlotsAreInTokenOrder) {
  const TensorView index = ints({0, 0, 0, 0, 1}, {5, 1});
  const TensorView priority = put({.2f, .9f, .5f, .9f, .0f}, DType::kF32, {5, 1});
  const TensorView position = make(DType::kI32, {5, 1});
  ops::assign_positions_by_priority(exec_, 2, 2, priority, index, position);
  EXPECT_EQ(get_i32(index), (std::vector<int32_t>{dropped(0), 0, dropped(0), 0, 1}));
  EXPECT_EQ(get_i32(position), (std::vector<int32_t>{-1, 0, -1, 1, 0}));
}

TEST_P(Positions, PriorityMatchesAStableSort) {
  const int64_t T = 700, capacity = 100;
  const auto choices = random_choices(T, 4);
  const auto priority = normal(static_cast<size_t>(T), 8);
  const TensorView index = ints(choices, {T, 1}), position = make(DType::kI32, {T, 1});
  ops::assign_positions_by_priority(exec_, 4, capacity, put(priority, DType::kF32, {T, 1}), index,
                                    position);
  std::vector<int32_t> want = choices;
  for (int32_t e = 0; e < 4; ++e) {
    std::vector<size_t> mine;
    for (size_t i = 0; i < choices.size(); ++i) {
      if (choices[i] == e) mine.push_back(i);
    }
    std::stable_sort(mine.begin(), mine.end(),
                     [&](size_t a, size_t b) { return priority[a] > priority[b]; });
    for (size_t i = capacity; i < mine.size(); ++i) want[mine[i]] = dropped(e);
  }
  EXPECT_EQ(get_i32(index), want);
}

TEST_P(Positions, CapacityZeroDropsNothing) {
  const TensorView index = ints({0, 0, 0}, {3, 1}), position = make(DType::kI32, {3, 1});
  ops::assign_positions_by_priority(exec_, 1, 0, put({1, 2, 3}, DType::kF32, {3, 1}), index,
                                    position);
  EXPECT_EQ(get_i32(position), (std::vector<int32_t>{0, 1, 2}));
}

}  // namespace moiety
