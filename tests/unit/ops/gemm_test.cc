// Dense products against plain loops in double, on both devices.
#include "core/ops/gemm.h"

#include "core/device/cpu_pool.h"
#include "core/ops/gemm_batch_cpu.h"
#include "core/ops/gemm_kernel.h"
#include "tests/unit/device_test.h"

namespace moiety {
namespace {

struct Sizes {
  int64_t m, n, k;
};
const Sizes kSizes[] = {{1, 1, 1},      {7, 13, 5},    {64, 48, 96},
                        {129, 257, 65}, {3, 600, 300}, {603, 20, 40}};

std::vector<float> product(const std::vector<float>& a, bool ta, const std::vector<float>& b,
                           bool tb, const std::vector<float>& c, Sizes s) {
  std::vector<float> out(static_cast<size_t>(s.m * s.n));
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < s.n; ++j) {
      double sum = c.empty() ? 0. : static_cast<double>(c[static_cast<size_t>(i * s.n + j)]);
      for (int64_t k = 0; k < s.k; ++k) {
        sum += static_cast<double>(a[static_cast<size_t>(ta ? k * s.m + i : i * s.k + k)]) *
               static_cast<double>(b[static_cast<size_t>(tb ? j * s.k + k : k * s.n + j)]);
      }
      out[static_cast<size_t>(i * s.n + j)] = static_cast<float>(sum);
    }
  }
  return out;
}

class GemmTest : public DeviceTest {
 protected:
  void check_form(Sizes s, const ops::GemmForm& form, DType out_type) {
    const auto count = [](int64_t x, int64_t y) { return static_cast<size_t>(x * y); };
    const TensorView a = form.transpose_a ? put(normal(count(s.m, s.k), 1), dtype(), {s.k, s.m})
                                          : put(normal(count(s.m, s.k), 1), dtype(), {s.m, s.k});
    const TensorView b = form.transpose_b ? put(normal(count(s.k, s.n), 2), dtype(), {s.n, s.k})
                                          : put(normal(count(s.k, s.n), 2), dtype(), {s.k, s.n});
    const TensorView c = form.accumulate ? put(normal(count(s.m, s.n), 3), out_type, {s.m, s.n})
                                         : make(out_type, {s.m, s.n});
    const std::vector<float> before = form.accumulate ? get(c) : std::vector<float>();
    ops::gemm(exec_, a, b, c, form);
    const auto expected = product(get(a), form.transpose_a, get(b), form.transpose_b, before, s);
    // Sums are f32 whatever the inputs; only a narrow c rounds.
    EXPECT_LE(worst(get(c), expected), out_type == DType::kF32 ? 1e-5 : tolerance())
        << s.m << "x" << s.n << "x" << s.k << " a^T " << form.transpose_a << " b^T "
        << form.transpose_b << " += " << form.accumulate << " c " << name_of(out_type);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, GemmTest, kFloatDevices, case_name);

TEST_P(GemmTest, EveryFormIsTheProduct) {
  for (const Sizes& s : kSizes) {
    for (int bits = 0; bits < 8; ++bits) {
      const ops::GemmForm form{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
      check_form(s, form, dtype());
      if (dtype() != DType::kF32) check_form(s, form, DType::kF32);
    }
  }
}

TEST_P(GemmTest, AnF32OperandCountsInFull) {
  if (dtype() == DType::kF32) return;
  const auto count = [](int64_t x, int64_t y) { return static_cast<size_t>(x * y); };
  const auto put_f32 = [&](int64_t x, int64_t y, uint32_t seed) {
    return put(normal(count(x, y), seed), DType::kF32, {x, y});
  };
  const auto put_narrow = [&](int64_t x, int64_t y, uint32_t seed) {
    return put(normal(count(x, y), seed), dtype(), {x, y});
  };
  for (const Sizes& s : kSizes) {
    for (int bits = 0; bits < 16; ++bits) {
      const ops::GemmForm form{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
      const int64_t a_rows = form.transpose_a ? s.k : s.m, a_columns = s.m + s.k - a_rows;
      const int64_t b_rows = form.transpose_b ? s.n : s.k, b_columns = s.n + s.k - b_rows;
      const bool first = (bits & 8) != 0;
      const TensorView a = first ? put_f32(a_rows, a_columns, 1) : put_narrow(a_rows, a_columns, 1);
      const TensorView b = first ? put_narrow(b_rows, b_columns, 2) : put_f32(b_rows, b_columns, 2);
      const TensorView c = put_f32(s.m, s.n, 3);
      const auto before = form.accumulate ? get(c) : std::vector<float>();
      ops::gemm(exec_, a, b, c, form);
      EXPECT_LE(
          worst(get(c), product(get(a), form.transpose_a, get(b), form.transpose_b, before, s)),
          1e-5)
          << s.m << "x" << s.n << "x" << s.k << " form " << bits;
    }
  }
}

TEST_P(GemmTest, F32OperandsMayGiveANarrowerResult) {
  const auto count = [](int64_t x, int64_t y) { return static_cast<size_t>(x * y); };
  for (const Sizes& s : kSizes) {
    for (int bits = 0; bits < 8; ++bits) {
      const ops::GemmForm form{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
      const int64_t a_rows = form.transpose_a ? s.k : s.m, b_rows = form.transpose_b ? s.n : s.k;
      const TensorView a =
          put(normal(count(s.m, s.k), 1), DType::kF32, {a_rows, s.m + s.k - a_rows});
      const TensorView b =
          put(normal(count(s.k, s.n), 2), DType::kF32, {b_rows, s.k + s.n - b_rows});
      const TensorView c = put(normal(count(s.m, s.n), 3), dtype(), {s.m, s.n});
      const auto before = form.accumulate ? get(c) : std::vector<float>();
      ops::gemm(exec_, a, b, c, form);
      EXPECT_LE(
          worst(get(c), product(get(a), form.transpose_a, get(b), form.transpose_b, before, s)),
          tolerance())
          << s.m << "x" << s.n << "x" << s.k << " form " << bits;
    }
  }
}

TEST_P(GemmTest, ABiasIsAddedToEveryRow) {
  for (const Sizes& s :
       {Sizes{1, 1, 1}, Sizes{7, 13, 5}, Sizes{64, 48, 96}, Sizes{129, 256, 64}, Sizes{5, 8, 0}}) {
    const auto count = [](int64_t x, int64_t y) { return static_cast<size_t>(x * y); };
    const TensorView a = put(normal(count(s.m, s.k), 1), dtype(), {s.m, s.k});
    const TensorView b = put(normal(count(s.n, s.k), 2), dtype(), {s.n, s.k});
    const TensorView bias = put(normal(count(s.n, 1), 3, 5), DType::kF32, {s.n});
    auto expected = product(get(a), false, get(b), true, {}, s);
    const auto added = get(bias);
    for (size_t i = 0; i < expected.size(); ++i) expected[i] += added[i % added.size()];
    for (const DType out : {dtype(), DType::kF32}) {
      const TensorView c = make(out, {s.m, s.n});
      ops::gemm(exec_, a, b, c, {.transpose_b = true, .bias = bias});
      EXPECT_LE(worst(get(c), expected), out == DType::kF32 ? 1e-5 : tolerance())
          << s.m << "x" << s.n << "x" << s.k;
    }
  }
  const TensorView c = make(dtype(), {3, 5});
  EXPECT_THROW(ops::gemm(exec_, make(dtype(), {3, 4}), make(dtype(), {4, 5}), c,
                         {.accumulate = true, .bias = put(normal(5, 1), DType::kF32, {5})}),
               Error);
  EXPECT_THROW(ops::gemm(exec_, make(dtype(), {3, 4}), make(dtype(), {4, 5}), c,
                         {.bias = put(normal(4, 1), DType::kF32, {4})}),
               Error);
}

TEST_P(GemmTest, EmptySizes) {
  TensorView a = put(normal(12, 1), dtype(), {3, 4});
  ops::gemm(exec_, a.slice(0, 0, 0), put(normal(20, 2), dtype(), {4, 5}), make(dtype(), {0, 5}));
  const TensorView zero = make(dtype(), {3, 5});  // NaN before
  ops::gemm(exec_, a.slice(1, 0, 0), make(dtype(), {0, 5}), zero);
  for (float x : get(zero)) EXPECT_EQ(x, 0.f);
  ops::gemm(exec_, a.slice(1, 0, 0), make(dtype(), {0, 4}), a, {.accumulate = true});
  EXPECT_EQ(get(a), get(put(normal(12, 1), dtype(), {3, 4})));
}

TEST_P(GemmTest, StridedRowsStayApart) {
  const TensorView a = put(normal(160, 1), dtype(), {10, 16});
  const TensorView b = put(normal(256, 2), dtype(), {16, 16});
  const TensorView c = put(std::vector<float>(160, 7.f), dtype(), {10, 16});
  ops::gemm(exec_, a.slice(1, 8, 8), b.slice(0, 8, 8).slice(1, 0, 8), c.slice(1, 8, 8));
  const auto fa = get(a), fb = get(b), fc = get(c);
  for (size_t i = 0; i < 10; ++i) {
    for (size_t j = 0; j < 8; ++j) {
      double sum = 0;
      for (size_t k = 8; k < 16; ++k) {
        sum += static_cast<double>(fa[i * 16 + k]) * static_cast<double>(fb[k * 16 + j]);
      }
      EXPECT_NEAR(fc[i * 16 + 8 + j], sum, 10 * tolerance());
      EXPECT_EQ(fc[i * 16 + j], 7.f);
    }
  }
}

TEST_P(GemmTest, EqualBitsOnRepetition) {
  const TensorView a = put(normal(200 * 300, 1), dtype(), {200, 300});
  const TensorView b = put(normal(300 * 128, 2), dtype(), {300, 128});
  const TensorView c = make(DType::kF32, {200, 128}), again = make(DType::kF32, {200, 128});
  ops::gemm(exec_, a, b, c);
  ops::gemm(exec_, a, b, again);
  EXPECT_EQ(get(c), get(again));
}

TEST_P(GemmTest, RefusesWhatDoesNotFit) {
  const TensorView a = make(dtype(), {3, 4}), b = make(dtype(), {5, 6});
  try {
    ops::gemm(exec_, a, b, make(dtype(), {3, 6}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "gemm: op(a) [3, 4] times op(b) [5, 6] does not give c [3, 6]");
  }
  EXPECT_THROW(ops::gemm(exec_, a, make(DType::kI32, {4, 6}), make(dtype(), {3, 6})), Error);
}

TEST(GemmCpu, TheNumberOfThreadsDoesNotShow) {
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 5}) {
    DeviceContext context(Device{}, threads);
    Arena arena(context);
    Exec::Impl impl;
    impl.context = &context;
    impl.scratch = &arena;
    Exec exec(&impl);
    std::vector<float> a(333 * 217), b(217 * 601), c(333 * 601);
    for (size_t i = 0; i < a.size(); ++i) a[i] = std::sin(static_cast<float>(i));
    for (size_t i = 0; i < b.size(); ++i) b[i] = std::cos(static_cast<float>(i));
    ops::gemm(exec, view_of(a.data(), DType::kF32, {333, 217}),
              view_of(b.data(), DType::kF32, {217, 601}),
              view_of(c.data(), DType::kF32, {333, 601}));
    results.push_back(c);
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

/// out [m, n] of f32 by one kernel.
std::vector<float> by_kernel(const ops::cpu::GemmKernel& kernel, const std::vector<float>& a,
                             bool ta, const std::vector<float>& b, bool tb, Sizes s) {
  DeviceContext context(Device{}, 2);
  Arena arena(context);
  Exec::Impl impl;
  impl.context = &context;
  impl.scratch = &arena;
  Exec exec(&impl);
  std::vector<float> c(static_cast<size_t>(s.m * s.n), NAN);
  const ops::cpu::Summand product{a.data(), ta ? s.m : s.k, ta, b.data(), tb ? s.k : s.n, tb, s.k};
  ops::cpu::ProductBatch batch(exec, kernel);
  batch.add({&product, 1}, s.m, s.n, view_of(c.data(), DType::kF32, {s.m, s.n}), 0, false);
  batch.run();
  return c;
}

TEST(GemmCpu, EveryKernelIsTheProductAndFusedOnesAgreeBitForBit) {
  for (const Sizes& s : {Sizes{1, 1, 1}, Sizes{7, 33, 300}, Sizes{50, 70, 513}, Sizes{8, 16, 8}}) {
    std::vector<float> a(static_cast<size_t>(s.m * s.k)), b(static_cast<size_t>(s.k * s.n));
    for (size_t i = 0; i < a.size(); ++i) a[i] = std::sin(static_cast<float>(i));
    for (size_t i = 0; i < b.size(); ++i) b[i] = std::cos(static_cast<float>(i * i));
    for (int bits = 0; bits < 4; ++bits) {
      const bool ta = (bits & 1) != 0, tb = (bits & 2) != 0;
      const auto expected = product(a, ta, b, tb, {}, s);
      EXPECT_LE(worst(by_kernel(ops::cpu::base_kernel(), a, ta, b, tb, s), expected), 1e-5);
      if (!ops::cpu::avx2_usable()) continue;
      const auto fused = by_kernel(ops::cpu::avx2_kernel(), a, ta, b, tb, s);
      EXPECT_LE(worst(fused, expected), 1e-5);
      if (!ops::cpu::avx512_usable()) continue;
      EXPECT_EQ(by_kernel(ops::cpu::avx512_kernel(), a, ta, b, tb, s), fused);
    }
  }
}

TEST(GemmCpu, ARowAloneHasTheBitsOfALargerProduct) {
  const Sizes s{77, 130, 300};
  std::vector<float> a(static_cast<size_t>(s.m * s.k)), b(static_cast<size_t>(s.k * s.n));
  for (size_t i = 0; i < a.size(); ++i) a[i] = std::sin(static_cast<float>(i));
  for (size_t i = 0; i < b.size(); ++i) b[i] = std::cos(static_cast<float>(i * i));
  const auto whole = by_kernel(ops::cpu::widest_kernel(), a, false, b, false, s);
  const std::vector<float> row(a.begin() + 33 * s.k, a.begin() + 34 * s.k);
  const auto alone = by_kernel(ops::cpu::widest_kernel(), row, false, b, false, {1, s.n, s.k});
  EXPECT_EQ(alone, std::vector<float>(whole.begin() + 33 * s.n, whole.begin() + 34 * s.n));
}

}  // namespace
}  // namespace moiety
