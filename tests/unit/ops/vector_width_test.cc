// The bits of a result do not depend on the vector width of the machine.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "core/ops/attention_tile.h"
#include "core/ops/fast_exp.h"
#include "core/ops/wide_rows.cuh"

namespace moiety {
namespace {

std::vector<float> noise(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> x(n);
  for (float& value : x) value = distribution(random);
  return x;
}

void expect_same(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
}

TEST(VectorWidth, TileProductsAgree) {
  int count = 0;
  const ops::TileMath* const* all = ops::all_tile_math(&count);
  const auto a = noise(64 * 64, 1), b = noise(64 * 64, 2);
  for (const int64_t rows : {1, 13, 64}) {
    std::vector<std::vector<float>> results;
    for (int i = 0; i < count; ++i) {
      std::vector<float> c = noise(64 * 64, 3);
      all[i]->multiply_add(rows, 48, 37, a.data(), 1, 64, b.data(), 64, c.data(), 64);
      results.push_back(c);
      expect_same(results[0], c);
    }
    std::vector<float> plain = noise(64 * 64, 3);
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
      for (size_t col = 0; col < 48; ++col) {
        double sum = static_cast<double>(plain[r * 64 + col]);
        for (size_t p = 0; p < 37; ++p) {
          sum += static_cast<double>(a[r + p * 64]) * static_cast<double>(b[p * 64 + col]);
        }
        EXPECT_NEAR(static_cast<double>(results[0][r * 64 + col]), sum, 1e-4);
      }
    }
  }
}

TEST(VectorWidth, SoftmaxRowsAgree) {
  int count = 0;
  const ops::TileMath* const* all = ops::all_tile_math(&count);
  std::vector<float> keep(64, 2);
  keep[5] = keep[40] = 0;
  std::vector<std::vector<float>> results;
  for (int i = 0; i < count; ++i) {
    std::vector<float> scores = noise(128, 4), dprobability = noise(64, 5), result;
    float top = -INFINITY, sum = 0;
    all[i]->softmax_step(64, scores.data(), &top, &sum);
    result.push_back(all[i]->softmax_step(31, scores.data() + 64, &top, &sum));
    result.push_back(top);
    result.push_back(sum);
    all[i]->softmax_backward(50, keep.data(), 1, 0.25f, scores.data(), dprobability.data());
    result.insert(result.end(), scores.begin(), scores.end());
    result.insert(result.end(), dprobability.begin(), dprobability.end());
    results.push_back(result);
    expect_same(results[0], result);
  }
}

#if defined(__x86_64__)
struct ExpSum {
  const float* x;
  float* y;
  template <class G>
  void operator()(const G& group, int64_t row) const {
    const float top = group.max(101, [&](int64_t c) { return x[row * 101 + c]; });
    const float sum =
        group.sum(101, [&](int64_t c) { return ops::fast_exp(x[row * 101 + c] - top); });
    group.each(101, [&](int64_t c) { y[row * 101 + c] = x[row * 101 + c] * 3.7f + sum; });
  }
};

TEST(VectorWidth, WideRowsAgree) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no AVX2 on this machine";
  const auto x = noise(5 * 101, 6);
  std::vector<float> narrow(x.size()), wide(x.size());
  for (int64_t row = 0; row < 5; ++row) {
    const ExpSum to_narrow{x.data(), narrow.data()}, to_wide{x.data(), wide.data()};
    ops::row_alone<ExpSum>(&to_narrow, row);
    ops::row_alone_avx2<ExpSum>(&to_wide, row);
  }
  expect_same(narrow, wide);
}
#endif

}  // namespace
}  // namespace moiety
