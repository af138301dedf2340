// Experts' weights of more than 2^31 elements: what lies behind them is found. The last expert's
// results are those of that expert alone, in a tensor of its own.
#include <algorithm>

#include <moiety/ops.h>

#include "core/device/build.h"
#include "core/model/parameter_table.h"
#include "core/ops/gemm_backends.h"
#include "tests/unit/device_test.h"

namespace moiety {
namespace {

constexpr int64_t kExperts = 130, kWidth = 4096, kSlots = 72, kOfFirst = 32;
static_assert(kExperts * kWidth * kWidth > int64_t{1} << 31);

class LargeWeightsTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (!IsSkipped() && GetParam().device == DeviceType::kCpu) {
      GTEST_SKIP() << "takes 13 GB and more of memory, which a CPU shares with other tests";
    }
  }
  /// Slots of the first and the last of `experts`, none of the others.
  Segments segments(int64_t experts, int64_t of_first) {
    std::vector<int32_t> start(static_cast<size_t>(experts), static_cast<int32_t>(of_first)),
        count(start.size());
    start[0] = 0, count[0] = static_cast<int32_t>(of_first);
    count.back() = static_cast<int32_t>(kSlots - kOfFirst);
    return {put(start, {experts}), put(count, {experts}), nullptr};
  }
  void zero(const TensorView& t) {
    context_->zero(t.ptr, static_cast<size_t>(t.numel() * size_of(t.dtype)));
  }
  struct Results {
    std::vector<float> y, dx, dw;  // of the last expert
  };
  /// `x`, `dy` [slots, width] of experts 0 and E - 1.
  Results run(const Segments& at, ConstTensorView x, ConstTensorView dy, TensorView w,
              TensorView dw, int64_t first_row) {
    const int64_t rows = x.dim(0);
    const TensorView y = make(dtype(), {rows, kWidth}), dx = make(dtype(), {rows, kWidth});
    Parameter::Impl weight;
    weight.grad = dw, weight.mode = GradMode::kOverwrite;
    ops::grouped_gemm(exec_, at, x, w, y);
    ops::grouped_gemm(exec_, at, dy, w, dx, ops::Transpose::kYes);
    ops::grouped_gemm_grad(exec_, at, x, dy, Parameter(&weight));
    const int64_t last = w.dim(0) - 1, count = rows - first_row;
    return {get(y.slice(0, first_row, count)), get(dx.slice(0, first_row, count)),
            get(dw.slice(0, last, 1))};
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, LargeWeightsTest, kFloatDevices, case_name);

TEST_P(LargeWeightsTest, TheLastExpertIsFound) {
  const TensorView w = make(dtype(), {kExperts, kWidth, kWidth});
  const TensorView dw = make(DType::kF32, {kExperts, kWidth, kWidth});
  zero(w);
  const TensorView own = put(normal(size_t{kWidth} * kWidth, 1), dtype(), {1, kWidth, kWidth});
  ops::copy(exec_, own, w.slice(0, kExperts - 1, 1));
  const TensorView own_dw = make(DType::kF32, {1, kWidth, kWidth});
  const TensorView x = put(normal(size_t{kSlots} * kWidth, 2), dtype(), {kSlots, kWidth});
  const TensorView dy = put(normal(size_t{kSlots} * kWidth, 3), dtype(), {kSlots, kWidth});
  for (const bool portable : {false, true}) {
    if constexpr (kCuda) ops::cuda::force_portable_kernels(portable);
    const Results all = run(segments(kExperts, kOfFirst), x, dy, w, dw, kOfFirst);
    const int64_t count = kSlots - kOfFirst;
    const Segments alone{put(std::vector<int32_t>{0}, {1}),
                         put(std::vector<int32_t>{static_cast<int32_t>(count)}, {1}), nullptr};
    const Results one =
        run(alone, x.slice(0, kOfFirst, count), dy.slice(0, kOfFirst, count), own, own_dw, 0);
    EXPECT_LE(worst(all.y, one.y), tolerance()) << "portable " << portable;
    EXPECT_LE(worst(all.dx, one.dx), tolerance()) << "portable " << portable;
    EXPECT_LE(worst(all.dw, one.dw), 1e-5) << "portable " << portable;
    EXPECT_NE(*std::max_element(all.y.begin(), all.y.end()), 0.f) << "nothing was computed";
  }
  if constexpr (kCuda) ops::cuda::force_portable_kernels(false);
}

}  // namespace
}  // namespace moiety
