// Sums down tall matrices at the sizes where the work is cut into pieces, on both devices.
#include <moiety/ops.h>

#include "core/ops/elementwise.h"
#include "tests/unit/ops/op_test.h"

namespace moiety {

class ColumnSums : public OpTest {
 protected:
  /// Segments of the given counts, one behind the other, `gap` slots of padding after each.
  Segments segments(const std::vector<int32_t>& counts, int32_t gap, int64_t* slots) {
    std::vector<int32_t> start;
    int32_t at = 0;
    for (const int32_t c : counts) start.push_back(at), at += c + gap;
    *slots = at;
    const auto G = static_cast<int64_t>(counts.size());
    return {ints(start, {G}), ints(counts, {G}), nullptr};
  }

  void check_grouped(const std::vector<int32_t>& counts, int32_t gap, int64_t experts,
                     int64_t width) {
    int64_t slots = 0;
    const Segments s = segments(counts, gap, &slots);
    std::vector<float> values = normal(count(slots * width), 3);
    int64_t n = 0;
    Vector sums(count(experts * width));
    for (size_t g = 0; g < counts.size(); ++g) {
      n += counts[g];
      for (int64_t i = 0; i < gap * width; ++i) values[count(n * width + i)] = NAN;
      n += gap;
    }
    const TensorView dout = put(values, dtype(), {slots, width});
    const Vector rounded = wide(dout);
    n = 0;
    for (size_t g = 0; g < counts.size(); ++g) {
      const int64_t e = static_cast<int64_t>(g) % experts;
      for (int64_t i = 0; i < counts[g] * width; ++i) {
        sums[count(e * width + i % width)] += rounded[count(n * width + i)];
      }
      n += counts[g] + gap;
    }
    Parameter::Impl p = parameter(make(DType::kF32, {experts, width}), GradMode::kOverwrite, 7);
    ops::grouped_bias_grad(exec_, s, dout, Parameter(&p));
    EXPECT_LE(worst(get(p.grad), reference::narrow(sums)), 1e-5);
    p.mode = GradMode::kAccumulate;
    ops::grouped_bias_grad(exec_, s, dout, Parameter(&p));
    for (double& x : sums) x *= 2;
    EXPECT_LE(worst(get(p.grad), reference::narrow(sums)), 1e-5);
    p.mode = GradMode::kOverwrite;
    expect_same_bits(p.grad,
                     [&](Exec& exec) { ops::grouped_bias_grad(exec, s, dout, Parameter(&p)); });
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, ColumnSums, kFloatDevices, case_name);

TEST_P(ColumnSums, OneHugeSegment) {
  check_grouped({1000}, 0, 1, 264);
  check_grouped({128}, 0, 1, 256);
  check_grouped({129}, 3, 1, 257);
}

TEST_P(ColumnSums, EmptyTinyAndHugeSegments) {
  check_grouped({0, 1, 127, 128, 129, 0, 400, 0}, 5, 4, 40);
  check_grouped({0, 0, 0}, 1, 3, 8);
}

TEST_P(ColumnSums, MoreSegmentsThanABlockHasThreads) {
  std::vector<int32_t> counts(1300);
  for (size_t g = 0; g < counts.size(); ++g) counts[g] = static_cast<int32_t>(g % 3);
  counts[1100] = 300;
  check_grouped(counts, 0, 650, 24);
}

TEST_P(ColumnSums, TallMatrices) {
  for (const auto& [T, D] : {std::pair<int64_t, int64_t>{128, 8}, {1025, 72}, {140000, 3}}) {
    const TensorView dy = random({T, D}, 1);
    Vector sums(count(D));
    const Vector values = wide(dy);
    for (size_t i = 0; i < values.size(); ++i) sums[i % count(D)] += values[i];
    Parameter::Impl p = parameter(make(DType::kF32, {D}), GradMode::kOverwrite, 7);
    ops::bias_grad(exec_, dy, Parameter(&p));
    EXPECT_LE(worst(get(p.grad), reference::narrow(sums)), 2e-5);
  }
}

TEST_P(ColumnSums, RowsThatAreNoMultipleOf16BytesApart) {
  const TensorView whole = random({300, 45}, 4);
  const TensorView dy = whole.slice(1, 3, 40);
  Vector sums(40);
  const Vector values = wide(whole);
  for (size_t t = 0; t < 300; ++t) {
    for (size_t d = 0; d < 40; ++d) sums[d] += values[t * 45 + 3 + d];
  }
  Parameter::Impl p = parameter(make(DType::kF32, {40}), GradMode::kOverwrite, 7);
  ops::bias_grad(exec_, dy, Parameter(&p));
  EXPECT_LE(worst(get(p.grad), reference::narrow(sums)), 1e-5);
}

}  // namespace moiety
