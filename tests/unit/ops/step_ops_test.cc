// The frame of a step on both devices: norm, clipping, overflow, loss scale, learning rate.
#include "core/ops/step_ops.h"

#include <cmath>

#include "tests/unit/device_test.h"

namespace moiety {
namespace {

class StepOpsTest : public DeviceTest {
 protected:
  ops::StepControl* put_control(const ops::StepControl& control) {
    control_ = on_device(control);
    return static_cast<ops::StepControl*>(control_.ptr);
  }
  ops::StepControl control() {
    ops::StepControl back;
    download(&back, control_, sizeof back);
    return back;
  }
  /// One step whose scaled gradients have this norm.
  ops::StepControl step(float norm) {
    auto* at = static_cast<ops::StepControl*>(control_.ptr);
    ops::begin_step(exec_, at);
    ops::finish_gradients(exec_, put({norm}, DType::kF32, {1}), at);
    ops::end_step(exec_, at);
    return control();
  }
  TensorView control_;
};
INSTANTIATE_TEST_SUITE_P(Devices, StepOpsTest, kF32Devices, case_name);

TEST_P(StepOpsTest, GlobalNormIsTheRootOfAllSquares) {
  for (const int64_t n : {1, 1023, 200001}) {
    const auto a = normal(static_cast<size_t>(n), 1), b = normal(77, 2, 1e-4f);
    const std::vector<TensorView> tensors = {put(a, DType::kF32, {n}), put({}, DType::kF32, {0}),
                                             put(b, DType::kF32, {7, 11})};
    double sum = 0;
    for (const float x : a) sum += static_cast<double>(x) * static_cast<double>(x);
    for (const float x : b) sum += static_cast<double>(x) * static_cast<double>(x);
    const ops::TensorList list(exec_, tensors);
    const TensorView out = make(DType::kF32, {1});
    ops::global_norm(exec_, list, out);
    const float first = get(out)[0];
    EXPECT_NEAR(first, std::sqrt(sum), 1e-7 * std::sqrt(sum));
    ops::global_norm(exec_, list, out);
    EXPECT_EQ(get(out)[0], first);
  }
}

TEST_P(StepOpsTest, GlobalNormReadsEveryFloatType) {
  for (const int64_t n : {1, 77, 65536 + 8, 200000}) {
    const auto a = normal(static_cast<size_t>(n), 1), b = normal(static_cast<size_t>(n), 2),
               c = normal(static_cast<size_t>(n), 3);
    const std::vector<TensorView> tensors = {put(a, DType::kF32, {n}), put(b, DType::kBF16, {n}),
                                             put(c, DType::kF16, {n})};
    double sum = 0;
    for (const TensorView& tensor : tensors) {
      for (const float x : get(tensor)) sum += static_cast<double>(x) * static_cast<double>(x);
    }
    const TensorView out = make(DType::kF32, {1});
    ops::global_norm(exec_, ops::TensorList(exec_, tensors), out);
    EXPECT_NEAR(get(out)[0], std::sqrt(sum), 1e-7 * std::sqrt(sum)) << n;
  }
  std::vector<float> values(4096, 1.f);
  values[4000] = INFINITY;
  const std::vector<TensorView> tensors = {put(values, DType::kBF16, {4096})};
  const TensorView out = make(DType::kF32, {1});
  ops::global_norm(exec_, ops::TensorList(exec_, tensors), out);
  EXPECT_FALSE(std::isfinite(get(out)[0]));
}

TEST_P(StepOpsTest, GlobalNormOfLargeGradientsIsFinite) {
  const std::vector<TensorView> tensors = {
      put(std::vector<float>(4, 1e30f), DType::kF32, {4})};  // squares beyond f32
  const TensorView out = make(DType::kF32, {1});
  ops::global_norm(exec_, ops::TensorList(exec_, tensors), out);
  EXPECT_FLOAT_EQ(get(out)[0], 2e30f);
}

TEST_P(StepOpsTest, GlobalNormPassesNonFiniteValuesOn) {
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    std::vector<float> values(5000, 1.f);
    values[4321] = bad;
    const std::vector<TensorView> tensors = {put(values, DType::kF32, {5000})};
    const TensorView out = make(DType::kF32, {1});
    ops::global_norm(exec_, ops::TensorList(exec_, tensors), out);
    EXPECT_FALSE(std::isfinite(get(out)[0]));
  }
}

TEST_P(StepOpsTest, EmptyListHasNormZero) {
  const TensorView out = make(DType::kF32, {1});
  ops::global_norm(exec_, ops::TensorList(exec_, {}), out);
  EXPECT_EQ(get(out)[0], 0.f);
}

TEST_P(StepOpsTest, ClipsByTheUnscaledNorm) {
  ops::StepControl c;
  c.clip = 2;
  c.scaler.scale = 1024;
  put_control(c);
  ops::StepControl seen = step(1024 * 8);
  EXPECT_FLOAT_EQ(seen.grad_norm, 8);
  EXPECT_FLOAT_EQ(seen.step.grad_factor, static_cast<float>(1. / 1024 / ((8 + 1e-6) / 2)));
  seen = step(1024 * 1);
  EXPECT_FLOAT_EQ(seen.step.grad_factor, 1.f / 1024) << "a small norm is not scaled up";
  EXPECT_EQ(seen.step.update, 3);
  EXPECT_EQ(seen.step.batch, 2);
}

TEST_P(StepOpsTest, ABadBatchIsSkippedInEveryPrecision) {
  for (const float bad : {INFINITY, NAN}) {
    for (const bool dynamic : {false, true}) {
      ops::StepControl c;
      c.scaler.dynamic = dynamic;
      c.scaler.scale = dynamic ? 64 : 1;
      c.scaler.hysteresis = c.scaler.hysteresis_left = 1;
      put_control(c);
      const ops::StepControl seen = step(bad);
      EXPECT_EQ(seen.step.skip, 1);
      EXPECT_EQ(seen.skipped, 1);
      EXPECT_EQ(seen.step.update, 1) << "a skipped batch is no update";
      EXPECT_EQ(seen.step.batch, 1);
      EXPECT_EQ(seen.scaler.scale, dynamic ? 32 : 1);
      EXPECT_EQ(step(1).step.skip, 0) << "the next batch counts again";
    }
  }
}

TEST_P(StepOpsTest, UnscalesByTheScaleOfThisBatch) {
  ops::StepControl c;
  c.scaler.dynamic = true;
  c.scaler.scale = 8;
  c.scaler.window = 1;
  put_control(c);
  step(8);
  const ops::StepControl seen = step(8);  // the scale doubles behind this batch
  EXPECT_EQ(seen.step.loss_scale, 8.f);
  EXPECT_EQ(seen.step.grad_factor, 1.f / 8);
  EXPECT_EQ(seen.scaler.scale, 16);
}

TEST_P(StepOpsTest, OverflowsMayBeLetThrough) {
  ops::StepControl c;
  c.check_overflow = 0;
  put_control(c);
  const ops::StepControl seen = step(INFINITY);
  EXPECT_EQ(seen.step.skip, 0);
  EXPECT_EQ(seen.step.update, 2);
}

TEST_P(StepOpsTest, TheRateFollowsTheUpdateNotTheBatch) {
  ops::StepControl c;
  c.schedule.kind = ScheduleKind::kWarmup;
  c.schedule.max = 1;
  c.schedule.warmup = 10;
  c.schedule.log_warmup = false;
  put_control(c);
  EXPECT_EQ(step(1).step.lr, 0.f);
  EXPECT_EQ(step(1).step.lr, 0.f);
  EXPECT_FLOAT_EQ(step(NAN).step.lr, 0.1f);
  EXPECT_FLOAT_EQ(step(1).step.lr, 0.1f);
  EXPECT_FLOAT_EQ(step(1).step.lr, 0.2f);
}

}  // namespace
}  // namespace moiety
