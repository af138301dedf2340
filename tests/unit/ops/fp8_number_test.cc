// The 8-bit floats, by their definition in float64.
#include "core/ops/fp8_number.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

namespace moiety::ops {
namespace {

/// sign, exponent and mantissa as the paper's table 1 has them.
template <class Format>
double meaning(int code) {
  const int M = Format::kMantissa, exponent = (code & 0x7f) >> M, mantissa = code & ((1 << M) - 1);
  const double sign = code >= 0x80 ? -1 : 1, unit = std::ldexp(1.0, -M);
  if (exponent == 0) return sign * mantissa * unit * std::ldexp(1.0, 1 - Format::kBias);
  return sign * (1 + mantissa * unit) * std::ldexp(1.0, exponent - Format::kBias);
}

/// The nearest of all finite codes, the even one in a tie.
template <class Format>
int nearest(double x) {
  int best = 0;
  for (int code = 0; code <= static_cast<int>(Format::kLargestCode); ++code) {
    const double closer = std::abs(std::abs(x) - meaning<Format>(best)) -
                          std::abs(std::abs(x) - meaning<Format>(code));
    if (closer > 0 || (closer == 0 && code % 2 == 0)) best = code;
  }
  return std::signbit(x) ? best | 0x80 : best;
}

template <class Format>
class Fp8Number : public testing::Test {};
using Formats = testing::Types<E4M3, E5M2>;
TYPED_TEST_SUITE(Fp8Number, Formats);

TYPED_TEST(Fp8Number, EveryCodeHasItsMeaningAndComesBack) {
  EXPECT_EQ(meaning<TypeParam>(TypeParam::kLargestCode), static_cast<double>(TypeParam::kLargest));
  for (int code = 0; code < 256; ++code) {
    const auto bits = static_cast<uint8_t>(code);
    const float x = float_of_fp8<TypeParam>(bits);
    if ((code & 0x7f) > static_cast<int>(TypeParam::kLargestCode)) {
      EXPECT_FALSE(std::isfinite(x)) << code;
      continue;
    }
    EXPECT_EQ(static_cast<double>(x), meaning<TypeParam>(code)) << code;
    EXPECT_EQ(fp8_of<TypeParam>(x), bits) << code;
    EXPECT_EQ(std::signbit(x), code >= 0x80) << code;
  }
}

TYPED_TEST(Fp8Number, RoundsToTheNearestAndInATieToTheEven) {
  std::vector<float> numbers;
  for (int code = 0; code < static_cast<int>(TypeParam::kLargestCode); ++code) {
    const auto middle =
        static_cast<float>((meaning<TypeParam>(code) + meaning<TypeParam>(code + 1)) / 2);  // exact
    for (const float x : {middle, std::nextafter(middle, 0.f), std::nextafter(middle, 1e30f)}) {
      numbers.insert(numbers.end(), {x, -x});
    }
  }
  std::mt19937 random(1);
  std::uniform_real_distribution<float> exponent(-20, 20);
  for (int i = 0; i < 2000; ++i) numbers.push_back(std::exp2(exponent(random)));
  for (const float x : numbers) {
    EXPECT_EQ(fp8_of<TypeParam>(x), nearest<TypeParam>(static_cast<double>(x))) << x;
    EXPECT_EQ(two_fp8<TypeParam>(x, 1.f) & 0xff, fp8_of<TypeParam>(x)) << x;
    EXPECT_EQ(two_fp8<TypeParam>(1.f, x) >> 8, fp8_of<TypeParam>(x)) << x;
  }
}

TYPED_TEST(Fp8Number, TooLargeNumbersBecomeTheLargestAndNanStays) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float x : {TypeParam::kLargest, TypeParam::kLargest * 1.01f, 1e30f, kInfinity}) {
    EXPECT_EQ(fp8_of<TypeParam>(x), TypeParam::kLargestCode) << x;
    EXPECT_EQ(fp8_of<TypeParam>(-x), TypeParam::kLargestCode | 0x80) << x;
  }
  EXPECT_EQ(fp8_of<TypeParam>(std::nanf("")), 0x7f);
  EXPECT_EQ(fp8_of<TypeParam>(-std::nanf("")), 0x7f);
  EXPECT_TRUE(std::isnan(float_of_fp8<TypeParam>(0x7f)));
  EXPECT_TRUE(std::isnan(float_of_fp8<TypeParam>(0xff)));
}

}  // namespace
}  // namespace moiety::ops
