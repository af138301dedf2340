#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include <moiety/float16.h>

namespace moiety {

TEST(Float16, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    Float16 half;
    half.bits = static_cast<uint16_t>(bits);
    const float x = half;
    if (std::isnan(x)) continue;
    EXPECT_EQ(Float16(x).bits, half.bits) << bits;
  }
}

TEST(Float16, RoundsToNearestEvenAndOverflowsToInfinity) {
  EXPECT_EQ(float(Float16(1.f + 0x1p-11f)), 1.f);
  EXPECT_EQ(float(Float16(1.f + 0x1.8p-10f)), 1.f + 0x1p-9f);
  EXPECT_EQ(float(Float16(65519.f)), 65504.f);
  EXPECT_TRUE(std::isinf(float(Float16(65520.f))));
  EXPECT_EQ(float(Float16(0x1p-24f)), 0x1p-24f);
  EXPECT_EQ(float(Float16(0x1p-26f)), 0.f);
  EXPECT_TRUE(std::isnan(float(Float16(NAN))));
}

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(BFloat16(1.00390625f).bits, 0x3f80);
  EXPECT_EQ(BFloat16(1.01171875f).bits, 0x3f82);
  EXPECT_TRUE(std::isnan(float(BFloat16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isinf(float(BFloat16(std::numeric_limits<float>::max()))));
}

}  // namespace moiety
