// Permutation, combine and their backward, for both plan layouts.
#include "core/ops/routing.h"

#include "tests/unit/device_test.h"

namespace moiety {

class Routing : public DeviceTest {
 protected:
  RoutingPlan plan(const std::vector<int32_t>& index, const std::vector<float>& weight,
                   int64_t rows, int64_t columns) {
    RoutingPlan p;
    p.index = put(index, {rows, columns});
    p.weight = put(weight, DType::kF32, {rows, columns});
    return p;
  }
  ops::Permutation permutation(const RoutingPlan& p, int64_t experts) {
    const int64_t n = p.index.numel();
    return {make(DType::kI32, {experts}), make(DType::kI32, {experts}), make(DType::kI32, {n}),
            make(DType::kF32, {n}), make(DType::kI32, {p.index.dim(0), p.index.dim(1)})};
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, Routing, kFloatDevices, case_name);

TEST_P(Routing, TokenMajorPlansAreSortedByExpert) {
  const RoutingPlan p =
      plan({1, 0, dropped(1), 1, kUnused, kUnused, 0, 2}, {1, 2, 3, 4, 5, 6, 7, 8}, 4, 2);
  const auto q = permutation(p, 3);
  ops::permute(exec_, p, PlanLayout::kTokenMajor, 3, q);
  EXPECT_EQ(get_i32(q.count), (std::vector<int32_t>{2, 2, 1}));
  EXPECT_EQ(get_i32(q.start), (std::vector<int32_t>{0, 2, 4}));
  EXPECT_EQ(get_i32(q.row), (std::vector<int32_t>{0, 3, 0, 1, 3, -1, -1, -1}));
  EXPECT_EQ(get(q.weight), (std::vector<float>{2, 7, 1, 4, 8, 0, 0, 0}));
  EXPECT_EQ(get_i32(q.slot), (std::vector<int32_t>{2, 0, -1, 3, -1, -1, 1, 4}));
}

TEST_P(Routing, CombineIsTheWeightedSumInEitherLayout) {
  const int64_t T = 3, D = 70, E = 2;
  const auto by_token = plan({0, 1, 1, kUnused, dropped(0), 0}, {.5f, .25f, 2, 9, 9, 4}, T, 2);
  const auto by_expert = plan({0, 2, 0, 1}, {.5f, 4, .25f, 2}, E, 2);
  const auto q = permutation(by_token, E), r = permutation(by_expert, E);
  ops::permute(exec_, by_token, PlanLayout::kTokenMajor, E, q);
  ops::permute(exec_, by_expert, PlanLayout::kExpertMajor, E, r);
  const auto y6 = normal(static_cast<size_t>(6 * D), 3);
  const std::vector<float> y4(y6.begin(), y6.begin() + 4 * D);
  const TensorView y = put(y6, dtype(), {6, D}), z = put(y4, dtype(), {4, D});
  const TensorView a = make(dtype(), {T, D}), b = make(dtype(), {T, D});
  ops::combine(exec_, by_token, PlanLayout::kTokenMajor, q, y, a);
  ops::combine(exec_, by_expert, PlanLayout::kExpertMajor, r, z, b);
  const auto rounded = get(y);  // slots: 0 = (0, e0), 1 = (2, e0), 2 = (0, e1), 3 = (1, e1)
  std::vector<float> want(static_cast<size_t>(T * D));
  for (size_t d = 0; d < size_t(D); ++d) {
    want[d] = .5f * rounded[d] + .25f * rounded[2 * size_t(D) + d];
    want[size_t(D) + d] = 2 * rounded[3 * size_t(D) + d];
    want[2 * size_t(D) + d] = 4 * rounded[size_t(D) + d];
  }
  EXPECT_LT(worst(get(a), want), tolerance());
  EXPECT_EQ(get(a), get(b));
}

TEST_P(Routing, BackwardSumsSlotsAndAccumulates) {
  const auto p = plan({0, 1, 1, kUnused}, {1, 1, 1, 1}, 2, 2);
  const auto q = permutation(p, 2);
  ops::permute(exec_, p, PlanLayout::kTokenMajor, 2, q);
  const TensorView d = put({1, 2, 4, 8}, dtype(), {4, 1}), dx = put({100, 100}, dtype(), {2, 1});
  ops::combine_backward(exec_, p, PlanLayout::kTokenMajor, q, d, true, dx);
  EXPECT_EQ(get(dx), (std::vector<float>{103, 104}));
  ops::combine_backward(exec_, p, PlanLayout::kTokenMajor, q, d, false, dx);
  EXPECT_EQ(get(dx), (std::vector<float>{3, 4}));
  const TensorView dplan = make(DType::kF32, {2, 2});
  ops::plan_weight_grad(exec_, q, put({5, 6, 7, 8}, DType::kF32, {4}), dplan);
  EXPECT_EQ(get(dplan), (std::vector<float>{5, 6, 7, 0}));
}

TEST_P(Routing, NothingKept) {
  const auto p = plan({dropped(0), kUnused}, {1, 1}, 2, 1);
  const auto q = permutation(p, 2);
  ops::permute(exec_, p, PlanLayout::kTokenMajor, 2, q);
  EXPECT_EQ(get_i32(q.count), (std::vector<int32_t>{0, 0}));
  const TensorView out = make(dtype(), {2, 3});
  ops::combine(exec_, p, PlanLayout::kTokenMajor, q, make(dtype(), {2, 3}), out);
  EXPECT_EQ(get(out), std::vector<float>(6));
}

}  // namespace moiety
