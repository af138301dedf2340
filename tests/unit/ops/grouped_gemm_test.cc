// Grouped products and biases against plain loops in double, on both devices.
#include <moiety/ops.h>

#include "core/device/build.h"
#include "core/model/parameter_table.h"
#include "core/ops/gemm_backends.h"
#include "tests/unit/device_test.h"

namespace moiety {
namespace {

/// Segments of `slots` slots: several an expert, empty ones, gaps of padding between them.
struct Layout {
  int64_t slots, experts, in, out;
  std::vector<int32_t> start, count;
};

const Layout kLayouts[] = {
    {1, 1, 1, 1, {0}, {1}},
    {40, 3, 17, 33, {2, 20, 20}, {17, 0, 19}},
    {700, 2, 72, 136, {0, 160, 300, 520}, {150, 130, 200, 180}},  // two segments an expert
    {300, 5, 40, 64, {0, 0, 290, 0, 0}, {290, 0, 9, 0, 0}},
    {5, 4, 8, 8, {0, 0, 0, 0}, {0, 0, 0, 0}},
};

class GroupedGemmTest : public DeviceTest {
 protected:
  Segments put_segments(const Layout& l) {
    const auto G = static_cast<int64_t>(l.start.size());
    return {put(l.start, {G}), put(l.count, {G}), nullptr};
  }
  static size_t at(int64_t row, int64_t width, int64_t column) {
    return static_cast<size_t>(row * width + column);
  }
  /// fn(segment, expert, slot) for every slot inside a segment.
  template <class F>
  static void each_slot(const Layout& l, const F& fn) {
    for (size_t g = 0; g < l.start.size(); ++g) {
      for (int64_t n = l.start[g]; n < l.start[g] + l.count[g]; ++n) {
        fn(static_cast<int64_t>(g) % l.experts, n);
      }
    }
  }
  Parameter parameter(TensorView grad, GradMode mode) {
    impl_of_parameter_.grad = grad;
    impl_of_parameter_.mode = mode;
    return Parameter(&impl_of_parameter_);
  }
  Parameter::Impl impl_of_parameter_;
};
INSTANTIATE_TEST_SUITE_P(Devices, GroupedGemmTest, kFloatDevices, case_name);

TEST_P(GroupedGemmTest, EachSegmentMeetsItsExpert) {
  for (const Layout& l : kLayouts) {
    for (const auto transpose : {ops::Transpose::kNo, ops::Transpose::kYes}) {
      for (const DType out_type : {dtype(), DType::kF32}) {
        const bool turned = transpose == ops::Transpose::kYes;
        const auto count = static_cast<size_t>(l.experts * l.in * l.out);
        const TensorView a =
            put(normal(static_cast<size_t>(l.slots * l.in), 1), dtype(), {l.slots, l.in});
        const TensorView w = turned ? put(normal(count, 2), dtype(), {l.experts, l.out, l.in})
                                    : put(normal(count, 2), dtype(), {l.experts, l.in, l.out});
        const std::vector<float> before(static_cast<size_t>(l.slots * l.out), 5.f);
        const TensorView out = put(before, out_type, {l.slots, l.out});
        ops::grouped_gemm(exec_, put_segments(l), a, w, out, transpose);
        std::vector<float> expected = before;  // padding keeps what it had
        const auto fa = get(a), fw = get(w);
        each_slot(l, [&](int64_t e, int64_t n) {
          for (int64_t j = 0; j < l.out; ++j) {
            double sum = 0;
            for (int64_t k = 0; k < l.in; ++k) {
              const size_t in_w = turned ? at(e * l.out + j, l.in, k) : at(e * l.in + k, l.out, j);
              sum += static_cast<double>(fa[at(n, l.in, k)]) * static_cast<double>(fw[in_w]);
            }
            expected[at(n, l.out, j)] = static_cast<float>(sum);
          }
        });
        EXPECT_LE(worst(get(out), expected), out_type == DType::kF32 ? 1e-5 : tolerance())
            << l.slots << " slots, transposed " << turned;
      }
    }
  }
}

TEST_P(GroupedGemmTest, PaddingIsNotRead) {
  const Layout l{64, 2, 24, 16, {3, 40}, {20, 10}};
  std::vector<float> values = normal(static_cast<size_t>(l.slots * l.in), 1);
  std::vector<bool> used(static_cast<size_t>(l.slots));
  each_slot(l, [&](int64_t, int64_t n) { used[static_cast<size_t>(n)] = true; });
  for (int64_t n = 0; n < l.slots; ++n) {
    for (int64_t k = 0; k < l.in; ++k) {
      if (!used[static_cast<size_t>(n)]) values[at(n, l.in, k)] = NAN;
    }
  }
  const TensorView a = put(values, dtype(), {l.slots, l.in});
  const TensorView w = put(normal(2 * 24 * 16, 2), dtype(), {2, 24, 16});
  const TensorView out = make(dtype(), {l.slots, l.out});
  const TensorView grad = make(DType::kF32, {2, 24, 24});
  ops::grouped_gemm(exec_, put_segments(l), a, w, out);
  ops::grouped_gemm_grad(exec_, put_segments(l), a, a, parameter(grad, GradMode::kOverwrite));
  const auto seen = get(out);
  each_slot(l, [&](int64_t, int64_t n) {
    for (int64_t j = 0; j < l.out; ++j) EXPECT_FALSE(std::isnan(seen[at(n, l.out, j)]));
  });
  for (const float x : get(grad)) EXPECT_FALSE(std::isnan(x));
}

TEST_P(GroupedGemmTest, GradientSumsAnExpertsSegments) {
  for (const Layout& l : kLayouts) {
    for (const GradMode mode : {GradMode::kOverwrite, GradMode::kAccumulate}) {
      const TensorView a =
          put(normal(static_cast<size_t>(l.slots * l.in), 1), dtype(), {l.slots, l.in});
      const TensorView dout =
          put(normal(static_cast<size_t>(l.slots * l.out), 2), dtype(), {l.slots, l.out});
      const auto size = static_cast<size_t>(l.experts * l.in * l.out);
      const TensorView grad = mode == GradMode::kAccumulate
                                  ? put(normal(size, 3), DType::kF32, {l.experts, l.in, l.out})
                                  : make(DType::kF32, {l.experts, l.in, l.out});
      std::vector<double> sums(size, 0.);
      if (mode == GradMode::kAccumulate) {
        const auto before = get(grad);
        std::copy(before.begin(), before.end(), sums.begin());
      }
      ops::grouped_gemm_grad(exec_, put_segments(l), a, dout, parameter(grad, mode));
      const auto fa = get(a), fd = get(dout);
      each_slot(l, [&](int64_t e, int64_t n) {
        for (int64_t k = 0; k < l.in; ++k) {
          for (int64_t j = 0; j < l.out; ++j) {
            sums[at(e * l.in + k, l.out, j)] +=
                static_cast<double>(fa[at(n, l.in, k)]) * static_cast<double>(fd[at(n, l.out, j)]);
          }
        }
      });
      EXPECT_LE(worst(get(grad), std::vector<float>(sums.begin(), sums.end())), 1e-5)
          << l.slots << " slots";
    }
  }
}

/// A gradient in the operands' dtype is summed in f32 and rounded once; where it is added to what
/// was there, the sum may be rounded before.
TEST_P(GroupedGemmTest, GradientInTheOperandsDtype) {
  for (const Layout& l : kLayouts) {
    const TensorView a =
        put(normal(static_cast<size_t>(l.slots * l.in), 1), dtype(), {l.slots, l.in});
    const TensorView dout =
        put(normal(static_cast<size_t>(l.slots * l.out), 2), dtype(), {l.slots, l.out});
    const std::vector<float> before = normal(static_cast<size_t>(l.experts * l.in * l.out), 3, 4.f);
    for (const GradMode mode : {GradMode::kOverwrite, GradMode::kAccumulate}) {
      const TensorView narrow = put(before, dtype(), {l.experts, l.in, l.out});
      const std::vector<float> start = get(narrow);
      const TensorView wide = put(start, DType::kF32, {l.experts, l.in, l.out});
      ops::grouped_gemm_grad(exec_, put_segments(l), a, dout, parameter(wide, mode));
      ops::grouped_gemm_grad(exec_, put_segments(l), a, dout, parameter(narrow, mode));
      const std::vector<float> expected = get(wide), got = get(narrow);
      const double unit = dtype() == DType::kBF16 ? 0x1p-8 : dtype() == DType::kF16 ? 0x1p-11 : 0;
      for (size_t i = 0; i < expected.size(); ++i) {
        auto size = static_cast<double>(std::abs(expected[i]));
        if (mode == GradMode::kAccumulate) size += std::abs(expected[i] - start[i]);
        ASSERT_NEAR(got[i], expected[i], unit * size + 2e-5) << l.slots << " slots, element " << i;
      }
    }
  }
  const TensorView a = put(normal(40 * 17, 1), dtype(), {40, 17});
  const TensorView grad = make(DType::kI32, {3, 17, 17});
  EXPECT_THROW(ops::grouped_gemm_grad(exec_, put_segments(kLayouts[1]), a, a,
                                      parameter(grad, GradMode::kOverwrite)),
               Error);
}

TEST_P(GroupedGemmTest, FrozenWeightsGetNoGradient) {
  const Layout& l = kLayouts[1];
  const TensorView a = put(normal(40 * 17, 1), dtype(), {40, 17});
  ops::grouped_gemm_grad(exec_, put_segments(l), a, a, parameter({}, GradMode::kNone));
  ops::grouped_bias_grad(exec_, put_segments(l), a, parameter({}, GradMode::kNone));
}

TEST_P(GroupedGemmTest, OneKnownSegmentIsAPlainProduct) {
  const int32_t host_count = 50;
  Segments all = put_segments({50, 1, 0, 0, {0}, {50}});
  const TensorView a = put(normal(50 * 24, 1), dtype(), {50, 24});
  const TensorView w = put(normal(24 * 40, 2), dtype(), {1, 24, 40});
  const TensorView dout = put(normal(50 * 40, 3), dtype(), {50, 40});
  std::vector<std::vector<float>> outs, grads;
  for (const int32_t* known : {static_cast<const int32_t*>(nullptr), &host_count}) {
    all.host_count = known;
    const TensorView out = make(DType::kF32, {50, 40}), grad = make(DType::kF32, {1, 24, 40});
    ops::grouped_gemm(exec_, all, a, w, out);
    ops::grouped_gemm_grad(exec_, all, a, dout, parameter(grad, GradMode::kOverwrite));
    outs.push_back(get(out));
    grads.push_back(get(grad));
  }
  EXPECT_LE(worst(outs[0], outs[1]), 1e-5);
  EXPECT_LE(worst(grads[0], grads[1]), 1e-5);
}

/// While it lives, CUDA takes the kernels that every card runs.
class PortableKernels {
 public:
  explicit PortableKernels(bool on) { force(on); }
  ~PortableKernels() { force(false); }
  PortableKernels(const PortableKernels&) = delete;
  PortableKernels& operator=(const PortableKernels&) = delete;

 private:
  static void force([[maybe_unused]] bool on) {
    if constexpr (kCuda) ops::cuda::force_portable_kernels(on);
  }
};

TEST_P(GroupedGemmTest, TheCardsOwnKernelsComputeWhatThePortableOnesDo) {
  std::vector<int32_t> start, count;  // 256 experts: none, one, some slots each, with gaps
  for (int32_t e = 0, at = 0; e < 256; ++e) {
    start.push_back(at);
    count.push_back(e % 7 == 3 ? 0 : e % 5 == 1 ? 1 : e * 37 % 29);
    at += count.back() + e % 2;
  }
  const Layout layouts[] = {
      {1500, 3, 96, 264, {3, 3, 1203}, {1200, 0, 290}},  // slot 3 on, across tiles, a short tail
      {1000, 1, 320, 72, {0, 500}, {450, 499}},          // two segments of one expert
      {4200, 256, 48, 40, start, count},
  };
  for (const Layout& l : layouts) {
    const auto size = static_cast<size_t>(l.experts * l.in * l.out);
    const TensorView a =
        put(normal(static_cast<size_t>(l.slots * l.in), 1), dtype(), {l.slots, l.in});
    const TensorView dout =
        put(normal(static_cast<size_t>(l.slots * l.out), 2), dtype(), {l.slots, l.out});
    const TensorView w = put(normal(size, 3), dtype(), {l.experts, l.in, l.out});
    const Segments segments = put_segments(l);
    std::vector<std::vector<float>> outs, dxs, grads;
    for (const bool portable : {true, false}) {
      const PortableKernels choice(portable);
      const TensorView out = make(DType::kF32, {l.slots, l.out});
      const TensorView dx = make(dtype(), {l.slots, l.in});
      const TensorView grad =
          put(std::vector<float>(size, 1.f), DType::kF32, {l.experts, l.in, l.out});
      ops::fill(exec_, out, 7);
      ops::fill(exec_, dx, 7);
      ops::grouped_gemm(exec_, segments, a, w, out);
      ops::grouped_gemm(exec_, segments, dout, w, dx, ops::Transpose::kYes);
      ops::grouped_gemm_grad(exec_, segments, a, dout, parameter(grad, GradMode::kAccumulate));
      outs.push_back(get(out));
      dxs.push_back(get(dx));
      grads.push_back(get(grad));
    }
    EXPECT_LE(worst(outs[1], outs[0]), 1e-5) << l.slots << " slots";
    EXPECT_LE(worst(dxs[1], dxs[0]), tolerance()) << l.slots << " slots";
    EXPECT_LE(worst(grads[1], grads[0]), 1e-5) << l.slots << " slots";
  }
}

TEST_P(GroupedGemmTest, BiasAndItsGradient) {
  for (const Layout& l : kLayouts) {
    const auto size = static_cast<size_t>(l.slots * l.out);
    const TensorView x = put(normal(size, 1), dtype(), {l.slots, l.out});
    const TensorView bias =
        put(normal(static_cast<size_t>(l.experts * l.out), 2), DType::kF32, {l.experts, l.out});
    std::vector<float> expected = get(x);
    const auto before = get(x), fb = get(bias);
    std::vector<double> sums(fb.begin(), fb.end()), fresh(fb.size(), 0.);
    each_slot(l, [&](int64_t e, int64_t n) {
      for (int64_t j = 0; j < l.out; ++j) {
        expected[at(n, l.out, j)] += fb[at(e, l.out, j)];
        sums[at(e, l.out, j)] += static_cast<double>(before[at(n, l.out, j)]);
        fresh[at(e, l.out, j)] += static_cast<double>(before[at(n, l.out, j)]);
      }
    });
    const TensorView grad = make(DType::kF32, {l.experts, l.out});
    ops::grouped_bias_grad(exec_, put_segments(l), x, parameter(grad, GradMode::kOverwrite));
    EXPECT_LE(worst(get(grad), std::vector<float>(fresh.begin(), fresh.end())), 1e-5);
    const TensorView sum = put(fb, DType::kF32, {l.experts, l.out});
    ops::grouped_bias_grad(exec_, put_segments(l), x, parameter(sum, GradMode::kAccumulate));
    EXPECT_LE(worst(get(sum), std::vector<float>(sums.begin(), sums.end())), 1e-5);
    ops::grouped_bias(exec_, put_segments(l), bias, x);
    EXPECT_LE(worst(get(x), expected), tolerance());
  }
}

TEST_P(GroupedGemmTest, EqualBitsOnRepetitionAndForAnyThreads) {
  const Layout& l = kLayouts[2];
  std::vector<std::vector<float>> outs, grads;
  for (const int threads : {1, 2, 5, 5}) {
    const bool cpu = GetParam().device == DeviceType::kCpu;
    DeviceContext other(context_->device(), cpu ? threads : 0);
    impl_.context = &other;
    const TensorView a = put(normal(700 * 72, 1), dtype(), {700, 72});
    const TensorView w = put(normal(2 * 72 * 136, 2), dtype(), {2, 72, 136});
    const TensorView d = put(normal(700 * 136, 2), dtype(), {700, 136});
    const TensorView out = make(DType::kF32, {700, 136}), grad = make(DType::kF32, {2, 72, 136});
    context_->zero(out.ptr, 700 * 136 * 4);
    context_->synchronize();
    ops::grouped_gemm(exec_, put_segments(l), a, w, out);
    ops::grouped_gemm_grad(exec_, put_segments(l), a, d, parameter(grad, GradMode::kOverwrite));
    other.synchronize();
    outs.push_back(get(out));
    grads.push_back(get(grad));
    impl_.context = context_.get();
  }
  for (size_t i = 1; i < outs.size(); ++i) {
    EXPECT_EQ(outs[0], outs[i]);
    EXPECT_EQ(grads[0], grads[i]);
  }
}

TEST_P(GroupedGemmTest, RefusesWhatDoesNotFit) {
  const Segments s = put_segments(kLayouts[1]);
  const TensorView a = make(dtype(), {40, 17}), w = make(dtype(), {3, 18, 33});
  EXPECT_THROW(ops::grouped_gemm(exec_, s, a, w, make(dtype(), {40, 33})), Error);
  EXPECT_THROW(
      ops::grouped_gemm_grad(exec_, s, a, make(dtype(), {40, 30}),
                             parameter(make(DType::kF32, {3, 17, 33}), GradMode::kOverwrite)),
      Error);
}

}  // namespace
}  // namespace moiety
