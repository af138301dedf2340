// Ops that go through rows in 16-byte packs: widths that fill warps and widths that do not, rows
// that are not aligned, slots in many segments and in none.
#include <cmath>

#include <moiety/ops.h>

#include "core/ops/branch.h"
#include "core/ops/elementwise.h"
#include "core/ops/routing.h"
#include "tests/unit/ops/op_test.h"

namespace moiety {

class PackRows : public OpTest {
 protected:
  static constexpr int64_t kSlots = 150;
  /// 70 segments of 2 slots; 5 slots of padding before and 5 behind.
  Segments segments() {
    std::vector<int32_t> start, size(70, 2);
    for (int32_t g = 0; g < 70; ++g) start.push_back(5 + 2 * ((g * 27) % 70));
    return {ints(start, {70}), ints(size, {70}), nullptr};
  }
  static bool used(size_t n) { return n >= 5 && n < 145; }
  static int32_t segment(size_t n) {
    for (int32_t g = 0; g < 70; ++g) {
      const auto start = static_cast<size_t>(5 + 2 * ((g * 27) % 70));
      if (n == start || n == start + 1) return g;
    }
    return -1;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, PackRows, kFloatDevices, case_name);

TEST_P(PackRows, GroupedBiasScaleAndGather) {
  for (const int64_t D : {8, 40, 520, 521, 1100}) {
    const auto W = count(D);
    const TensorView x = random({kSlots, D}, 1), bias = random_f32({7, D}, 2);
    const TensorView out = random({kSlots, D}, 3), weight = random_f32({kSlots}, 4);
    const Vector before = wide(x), fb = wide(bias), old = wide(out), fw = wide(weight);
    Vector biased = before;
    std::vector<int32_t> row(kSlots);
    for (size_t n = 0; n < kSlots; ++n) row[n] = used(n) ? static_cast<int32_t>(n * 7 % 150) : -1;
    for (size_t n = 0; n < kSlots; ++n) {
      for (size_t c = 0; used(n) && c < W; ++c) {
        biased[n * W + c] += fb[static_cast<size_t>(segment(n) % 7) * W + c];
      }
    }
    ops::grouped_bias(exec_, segments(), bias, x);
    near(x, biased);
    ExpertBatch batch;
    static_cast<Segments&>(batch) = segments();
    batch.row = ints(row, {kSlots});
    batch.weight = weight;
    ops::gather_rows(exec_, batch, x, out);
    const Vector source = wide(x);
    Vector gathered = old;
    for (size_t n = 0; n < kSlots; ++n) {
      for (size_t c = 0; used(n) && c < W; ++c) {
        gathered[n * W + c] = source[static_cast<size_t>(row[n]) * W + c];
      }
    }
    EXPECT_EQ(wide(out), gathered) << D;
    ops::scale_rows(exec_, batch, out);
    for (size_t n = 0; n < kSlots; ++n) {
      for (size_t c = 0; used(n) && c < W; ++c) gathered[n * W + c] *= fw[n];
    }
    near(out, gathered);
    const TensorView dots = put(std::vector<float>(kSlots, 9), DType::kF32, {kSlots});
    ops::row_dot(exec_, segments(), x, out, dots);
    Vector products(kSlots, 9);
    const Vector fx = wide(x), fo = wide(out);
    for (size_t n = 0; n < kSlots; ++n) {
      if (used(n)) products[n] = 0;
      for (size_t c = 0; used(n) && c < W; ++c) products[n] += fx[n * W + c] * fo[n * W + c];
    }
    EXPECT_LE(worst(get(dots), reference::narrow(products)), 1e-5) << D;
  }
}

TEST_P(PackRows, CombineAndMix) {
  for (const int64_t D : {8, 40, 521, 1100}) {
    const int64_t T = 50, K = 3;
    const auto W = count(D);
    std::vector<int32_t> slot(count(T * K));
    for (size_t i = 0; i < slot.size(); ++i) {
      slot[i] = i % 4 == 1 ? -1 : static_cast<int32_t>(i * 7 % 150);
    }
    RoutingPlan plan;
    plan.index = ints(slot, {T, K});
    ops::Permutation p;
    p.slot = ints(slot, {T, K});
    p.weight = random_f32({kSlots}, 1);
    const TensorView y = random({kSlots, D}, 2), out = random({T, D}, 3);
    const Vector fy = wide(y), fw = wide(p.weight), old = wide(out);
    Vector weighted(count(T) * W), plain = old;
    for (size_t i = 0; i < slot.size(); ++i) {
      for (size_t c = 0; slot[i] >= 0 && c < W; ++c) {
        const auto n = static_cast<size_t>(slot[i]);
        weighted[i / 3 * W + c] += fw[n] * fy[n * W + c];
        plain[i / 3 * W + c] += fy[n * W + c];
      }
    }
    ops::combine_backward(exec_, plan, PlanLayout::kTokenMajor, p, y, true, out);
    near(out, plain);
    ops::combine(exec_, plan, PlanLayout::kTokenMajor, p, y, out);
    near(out, weighted);
    const TensorView a = random({T, D}, 4), wa = random_f32({T}, 5), mixed = make(dtype(), {T, D});
    ops::mix_rows(exec_, a, wa, out, {}, mixed);
    Vector expected = wide(out);
    const Vector fa = wide(a), f = wide(wa);
    for (size_t i = 0; i < expected.size(); ++i) expected[i] += fa[i] * f[i / W];
    near(mixed, expected);
  }
}

TEST_P(PackRows, ActivationsInSegments) {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  for (const int64_t H : {8, 40, 521, 1100}) {
    const auto W = count(H);
    const TensorView h = random({kSlots, 2 * H}, 1, 3), d = random({kSlots, H}, 2);
    const TensorView out = random({kSlots, H}, 3), dh = random({kSlots, 2 * H}, 4);
    const Vector fh = wide(h), fd = wide(d);
    Vector value = wide(out), gradient = wide(dh);
    for (size_t n = 0; n < kSlots; ++n) {
      for (size_t c = 0; used(n) && c < W; ++c) {
        const double g = fh[n * 2 * W + c], u = fh[(n * 2 + 1) * W + c], s = sigmoid(g);
        value[n * W + c] = g * s * u;
        gradient[n * 2 * W + c] = fd[n * W + c] * u * (s + g * s * (1 - s));
        gradient[(n * 2 + 1) * W + c] = fd[n * W + c] * g * s;
      }
    }
    ops::gated_activate(exec_, segments(), ops::Activation::kSilu, h, out);
    near(out, value);
    ops::gated_activate_backward(exec_, segments(), ops::Activation::kSilu, h, d, dh);
    near(dh, gradient);
    const TensorView one = h.slice(1, 0, H);  // rows 2 H apart
    const TensorView into = random({kSlots, H}, 5);
    Vector plain = wide(into);
    for (size_t n = 0; n < kSlots; ++n) {
      for (size_t c = 0; used(n) && c < W; ++c) {
        plain[n * W + c] = std::max(0.0, fh[n * 2 * W + c]);
      }
    }
    ops::activate(exec_, segments(), ops::Activation::kRelu, one, into);
    near(into, plain);
    ops::activate_backward(exec_, segments(), ops::Activation::kRelu, one, d, into);
    for (size_t n = 0; n < kSlots; ++n) {
      for (size_t c = 0; used(n) && c < W; ++c) {
        plain[n * W + c] = fh[n * 2 * W + c] > 0 ? fd[n * W + c] : 0;
      }
    }
    near(into, plain);
  }
}

TEST_P(PackRows, BiasSumAndConversion) {
  for (const auto& [T, D] : {std::pair<int64_t, int64_t>{3, 8}, {7, 600}, {9, 43}}) {
    const TensorView x = random({T, D}, 1), bias = random_f32({D}, 2),
                     f = make(DType::kF32, {T, D});
    const Vector before = wide(x), b = wide(bias);
    ops::copy(exec_, x, f);
    EXPECT_EQ(wide(f), before);
    ops::accumulate(exec_, x, f);
    Vector twice = before, biased = before;
    for (double& v : twice) v *= 2;
    near(f, twice);
    ops::add_bias(exec_, bias, x);
    for (size_t i = 0; i < biased.size(); ++i) biased[i] += b[i % count(D)];
    near(x, biased);
    const TensorView sum = make(dtype(), {T, D});
    ops::add(exec_, x, x, sum);
    Vector doubled = wide(x);
    for (double& v : doubled) v *= 2;
    near(sum, doubled);
  }
}

TEST_P(PackRows, DropoutDropsTheSameElementsWhateverTheWidthOfItsAccesses) {
  const TensorView ones = put(std::vector<float>(64 * 48, 1), dtype(), {64, 48});
  const TensorView out = make(dtype(), {64, 48}),
                   wider = put(std::vector<float>(64 * 51), dtype(), {64, 51});
  ops::dropout_add(exec_, "test", 0.25, ones, {}, out);
  ops::dropout_add(exec_, "test", 0.25, ones, {}, wider.slice(1, 1, 48));
  const auto a = get(out), b = get(wider);
  int dropped_ones = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i], b[i / 48 * 51 + 1 + i % 48]);
    dropped_ones += a[i] == 0 ? 1 : 0;
  }
  EXPECT_NEAR(dropped_ones / 3072.0, 0.25, 0.05);
}

}  // namespace moiety
