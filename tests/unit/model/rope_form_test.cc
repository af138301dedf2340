// Stretched rotary positions, against the arithmetic of transformers' modeling_rope_utils.py.
#include "core/model/rope_form.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace moiety {
namespace {

constexpr double kPi = std::numbers::pi;

ModelConfig config_of(const std::string& type, double factor, int64_t original, double theta) {
  ModelConfig config;
  config.hidden = 256, config.heads = 2, config.positions = "rope";  // 128 numbers a head
  config.rope_theta = theta;
  config.rope_scaling.type = type;
  config.rope_scaling.factor = factor, config.rope_scaling.original_length = original;
  return config;
}

std::vector<double> frequencies(const ModelConfig& config) {
  const ops::RopeForm form = rope_form(config);
  std::vector<double> out;
  for (int i = 0; i < 64; ++i) {
    out.push_back(ops::rope_frequency(form.scaling, form.theta, i, 64));
  }
  return out;
}

TEST(RopeForm, PlainAndLinear) {
  const std::vector<double> plain = frequencies(config_of("none", 1, 1, 10000));
  const std::vector<double> linear = frequencies(config_of("linear", 4, 1, 10000));
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_NEAR(plain[i] * std::pow(10000, static_cast<double>(i) / 64), 1, 1e-12);
    EXPECT_EQ(linear[i], plain[i] / 4);
  }
  EXPECT_EQ(rope_form(config_of("linear", 4, 1, 10000)).scaling.magnitude, 1);
}

TEST(RopeForm, Llama3MixesByWavelength) {
  const std::vector<double> plain = frequencies(config_of("none", 1, 1, 500000));
  const std::vector<double> got = frequencies(config_of("llama3", 8, 8192, 500000));
  int mixed = 0;
  for (size_t i = 0; i < 64; ++i) {
    const double wavelength = 2 * kPi / plain[i];
    double expected = plain[i];
    if (wavelength > 8192) {
      expected = plain[i] / 8;
    } else if (wavelength >= 2048) {
      const double smooth = (8192 / wavelength - 1) / (4 - 1);
      expected = (1 - smooth) * plain[i] / 8 + smooth * plain[i];
      ++mixed;
    }
    EXPECT_NEAR(got[i] / expected, 1, 1e-12) << i;
  }
  EXPECT_GT(mixed, 3);
  EXPECT_EQ(got[0], plain[0]);
  EXPECT_EQ(got[63], plain[63] / 8);
}

TEST(RopeForm, YarnRampsByPair) {
  const std::vector<double> plain = frequencies(config_of("none", 1, 1, 1e6));
  const ModelConfig config = config_of("yarn", 4, 32768, 1e6);
  const std::vector<double> got = frequencies(config);
  const auto pair_of = [](double turns) {
    return 128 * std::log(32768 / (turns * 2 * kPi)) / (2 * std::log(1e6));
  };
  const double low = std::floor(pair_of(32)), high = std::ceil(pair_of(1));
  ASSERT_GT(low, 0);
  ASSERT_LT(high, 63);
  for (size_t i = 0; i < 64; ++i) {
    const double keep = 1 - std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    EXPECT_NEAR(got[i] / (plain[i] / 4 * (1 - keep) + plain[i] * keep), 1, 1e-12) << i;
  }
  EXPECT_NEAR(rope_form(config).scaling.magnitude, 0.1 * std::log(4) + 1, 1e-12);
  EXPECT_EQ(rope_score_factor(config), 1);
}

/// DeepSeek-V3: equal mscales leave the rotation's size alone and sharpen the scores instead.
TEST(RopeForm, YarnOfLatentAttention) {
  ModelConfig config = config_of("yarn", 40, 4096, 10000);
  config.attention = "mla";
  config.rope_scaling.mscale = config.rope_scaling.mscale_all_dim = 1;
  const ops::RopeForm form = rope_form(config);
  EXPECT_EQ(form.begin, 128);
  EXPECT_EQ(form.scaling.magnitude, 1);
  // 64 turning numbers: 10 of 32 pairs stay, from the 23rd on all are slow.
  EXPECT_EQ(form.scaling.low, 10);
  EXPECT_EQ(form.scaling.high, 23);
  EXPECT_NEAR(rope_score_factor(config), std::pow(0.1 * std::log(40) + 1, 2), 1e-12);
}

}  // namespace
}  // namespace moiety
