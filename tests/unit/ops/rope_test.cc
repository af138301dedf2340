// Rotary positions: the angles, the pairing, and that backward undoes forward.
#include "core/ops/attention.h"

#include "tests/unit/ops/op_test.h"

namespace moiety {

class Rope : public OpTest {
 protected:
  void check(int64_t batch, int64_t sequence, int64_t heads, int64_t kv_heads, int64_t head_dim) {
    const ops::AttentionShape shape{batch, sequence, heads, kv_heads, head_dim};
    const int64_t T = batch * sequence, width = (heads + 2 * kv_heads) * head_dim;
    const TensorView qkv = random({T, width}, 1);
    const Vector before = wide(qkv);
    Vector expected = before;
    const size_t half = count(head_dim) / 2;
    for (size_t t = 0; t < count(T); ++t) {
      for (size_t h = 0; h < count(heads + kv_heads); ++h) {  // not the values
        for (size_t i = 0; i < half; ++i) {
          const double angle =
              static_cast<double>(t % count(sequence)) *
              std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
          const size_t a = t * count(width) + h * count(head_dim) + i, b = a + half;
          expected[a] = before[a] * std::cos(angle) - before[b] * std::sin(angle);
          expected[b] = before[b] * std::cos(angle) + before[a] * std::sin(angle);
        }
      }
    }
    ops::rope(exec_, shape, {}, false, qkv);
    near(qkv, expected);
    ops::rope(exec_, shape, {}, true, qkv);
    near(qkv, before, 2);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, Rope, kFloatDevices, case_name);

TEST_P(Rope, OnePositionIsLeftAlone) { check(3, 1, 2, 1, 6); }
TEST_P(Rope, OddSequence) { check(2, 7, 4, 2, 10); }
TEST_P(Rope, WideHeads) { check(2, 33, 6, 3, 64); }
TEST_P(Rope, LatePositions) { check(1, 1500, 1, 1, 8); }

/// Neighbours paired, in a part that eight pairs fill twice.
TEST_P(Rope, WideNeighbours) {
  const ops::AttentionShape shape{2, 9, 5, 1, 48, 1, 0, 16};
  const ops::RopeForm form{.theta = 100, .begin = 16, .size = 32, .interleaved = true};
  const TensorView qkv = random({18, shape.qkv_width()}, 1);
  const Vector before = wide(qkv);
  Vector expected = before;
  const auto width = static_cast<size_t>(shape.qkv_width());
  for (size_t t = 0; t < 18; ++t) {
    for (size_t h = 0; h < 6; ++h) {
      for (size_t i = 0; i < 16; ++i) {
        const double angle =
            static_cast<double>(t % 9) * std::pow(100.0, -static_cast<double>(i) / 16);
        const size_t a = t * width + h * 48 + 16 + 2 * i;
        expected[a] = before[a] * std::cos(angle) - before[a + 1] * std::sin(angle);
        expected[a + 1] = before[a + 1] * std::cos(angle) + before[a] * std::sin(angle);
      }
    }
  }
  ops::rope(exec_, shape, form, false, qkv);
  near(qkv, expected);
  ops::rope(exec_, shape, form, true, qkv);
  near(qkv, before, 2);
}

/// A part of the head, neighbours paired: what stands before it stays, and the values too.
TEST_P(Rope, NeighboursInAPartOfTheHead) {
  const ops::AttentionShape shape{2, 5, 2, 2, 10, 1, 0, 3};  // values are 3 wide
  const ops::RopeForm form{.theta = 100, .begin = 4, .size = 6, .interleaved = true};
  const TensorView qkv = random({10, shape.qkv_width()}, 1);
  const Vector before = wide(qkv);
  Vector expected = before;
  const auto width = static_cast<size_t>(shape.qkv_width());
  for (size_t t = 0; t < 10; ++t) {
    for (size_t h = 0; h < 4; ++h) {
      for (size_t i = 0; i < 3; ++i) {
        const double angle =
            static_cast<double>(t % 5) * std::pow(100.0, -static_cast<double>(i) / 3);
        const size_t a = t * width + h * 10 + 4 + 2 * i;
        expected[a] = before[a] * std::cos(angle) - before[a + 1] * std::sin(angle);
        expected[a + 1] = before[a + 1] * std::cos(angle) + before[a] * std::sin(angle);
      }
    }
  }
  ops::rope(exec_, shape, form, false, qkv);
  near(qkv, expected);
  ops::rope(exec_, shape, form, true, qkv);
  near(qkv, before, 2);
}

/// Stretched positions: another angle, another length, and backward is the transpose.
TEST_P(Rope, ScaledAnglesAndLengths) {
  const ops::AttentionShape shape{1, 40, 1, 1, 4};
  ops::RopeForm form;
  form.scaling = {ops::RopeScaling::Kind::kLinear, 4, 0, 1, 1.25};
  const TensorView qkv = random({40, 12}, 1), d = random({40, 12}, 2);
  const Vector x = wide(qkv), dy = wide(d);
  Vector expected = x;
  for (size_t t = 0; t < 40; ++t) {
    for (size_t h = 0; h < 2; ++h) {
      for (size_t i = 0; i < 2; ++i) {
        const double angle = static_cast<double>(t) / 4 * std::pow(10000.0, -0.5 * double(i));
        const size_t a = t * 12 + h * 4 + i, b = a + 2;
        expected[a] = 1.25 * (x[a] * std::cos(angle) - x[b] * std::sin(angle));
        expected[b] = 1.25 * (x[b] * std::cos(angle) + x[a] * std::sin(angle));
      }
    }
  }
  ops::rope(exec_, shape, form, false, qkv);
  near(qkv, expected, 1.25);
  ops::rope(exec_, shape, form, true, d);
  EXPECT_NEAR(reference::dot(wide(qkv), dy), reference::dot(x, wide(d)), tolerance() * 30);
}

TEST_P(Rope, APartOutsideTheHeadIsRefused) {
  const ops::AttentionShape shape{1, 2, 1, 1, 8};
  EXPECT_THROW(ops::rope(exec_, shape, {.begin = 4, .size = 6}, false, random({2, 24}, 1)), Error);
}

TEST_P(Rope, AnOddHeadIsRefused) {
  const ops::AttentionShape shape{1, 2, 1, 1, 7};
  EXPECT_THROW(ops::rope(exec_, shape, {}, false, random({2, 21}, 1)), Error);
}

}  // namespace moiety
