// RMS norm of the groups of a row, within wider rows, against float64 loops.
#include "core/ops/group_norm.h"

#include "tests/unit/ops/op_test.h"

namespace moiety {

class GroupNorm : public OpTest {
 protected:
  static constexpr double kEps = 1e-5;
  static constexpr int64_t kBefore = 3, kBehind = 2;  // columns around the groups

  /// Columns [kBefore, kBefore + n) of rows that are wider.
  static TensorView inner(const TensorView& wide_rows, int64_t n) {
    return wide_rows.slice(1, kBefore, n);
  }
  Vector inner_values(const TensorView& rows, int64_t n) {
    const Vector all = wide(rows);
    const auto width = static_cast<size_t>(rows.dim(1));
    Vector out;
    for (size_t t = 0; t < count(rows.dim(0)); ++t) {
      for (size_t c = 0; c < count(n); ++c) out.push_back(all[t * width + kBefore + c]);
    }
    return out;
  }
  /// What `rows` is to be once its inner columns hold `values`.
  static Vector with_inner(Vector rows, int64_t width, int64_t n, const Vector& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      rows[i / count(n) * count(width) + kBefore + i % count(n)] = values[i];
    }
    return rows;
  }

  void check(int64_t T, int64_t groups, int64_t D) {
    const int64_t n = groups * D, width = kBefore + n + kBehind;
    const TensorView x = random({T, width}, 1), y = random({T, width}, 2);
    const TensorView dy = random({T, width}, 3), weight = random_f32({D}, 4);
    const TensorView rstd = make(DType::kF32, {T, groups});
    const Vector in = inner_values(x, n), w = wide(weight), y_before = wide(y);
    ops::group_rms_norm(exec_, kEps, groups, inner(x, n), weight, inner(y, n), rstd);
    near(y, with_inner(y_before, width, n, reference::norm(in, w, {}, kEps, false)));

    Parameter::Impl p = parameter(weight, GradMode::kAccumulate, 0.5f);
    const Vector gradient = inner_values(dy, n), dy_before = wide(dy);
    ops::group_rms_norm_backward(exec_, groups, inner(x, n), Parameter(&p), rstd, inner(dy, n),
                                 inner(dy, n));  // in place
    const Vector dx = reference::gradient(
        [&](const Vector& at) { return reference::norm(at, w, {}, kEps, false); }, in, gradient);
    near(dy, with_inner(dy_before, width, n, dx), 3);
    Vector dw = reference::gradient(
        [&](const Vector& at) { return reference::norm(in, at, {}, kEps, false); }, w, gradient);
    for (double& g : dw) g += 0.5;
    near(p.grad, dw, 2);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, GroupNorm, kFloatDevices, case_name);

TEST_P(GroupNorm, OneGroupOfAllColumns) { check(5, 1, 33); }
TEST_P(GroupNorm, OddGroups) { check(7, 3, 5); }
TEST_P(GroupNorm, WholeLanes) { check(3, 4, 32); }
TEST_P(GroupNorm, NoRows) { check(0, 2, 8); }

TEST_P(GroupNorm, WidthsThatDoNotFitAreRefused) {
  EXPECT_THROW(ops::group_rms_norm(exec_, kEps, 3, random({2, 10}, 1), random_f32({4}, 2),
                                   make(dtype(), {2, 10}), make(DType::kF32, {2, 3})),
               Error);
}

}  // namespace moiety
