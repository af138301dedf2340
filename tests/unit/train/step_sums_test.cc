// What the statistics on the device say once read.
#include "core/train/step_sums.h"

#include <gtest/gtest.h>

#include "core/train/step_record.h"

namespace moiety {
namespace {

TEST(StepSums, ReadsBackWhatTheModelWrote) {
  const DeviceContext context(Device{}, 1);
  const SumsShape shape{2, 4, 1, {4, 2}};
  const StepSumsBuffer buffer(context, shape);
  buffer.zero(context);
  const StepSums& s = buffer.sums();
  s.loss.data<float>()[0] = 2.5f;
  s.metrics.data<float>()[0] = 7;
  s.aux.data<float>()[1] = 4;  // two micro-batches
  s.tokens.data<float>()[0] = 10;
  s.entropy.data<float>()[0] = 5;
  float* chosen = s.chosen.data<float>();
  chosen[0] = 12, chosen[1] = 4, chosen[2] = 4;  // layer 0: 20 choices, expert 3 is dead
  chosen[4] = 5, chosen[5] = 5;                  // layer 1 has two experts
  s.dropped.data<float>()[0] = 5;
  s.probability.data<float>()[1] = 2.5f;

  const StepNumbers n = read_sums(static_cast<const float*>(buffer.data()), shape, 2, 0);
  EXPECT_DOUBLE_EQ(n.lm_loss, 2.5);
  EXPECT_DOUBLE_EQ(n.metrics.at(0), 7);
  EXPECT_DOUBLE_EQ(n.layers[1].aux, 2);
  EXPECT_DOUBLE_EQ(n.layers[0].entropy, 0.5);
  EXPECT_DOUBLE_EQ(n.layers[0].chosen[0], 0.6);
  EXPECT_DOUBLE_EQ(n.layers[0].imbalance, 0.6 * 4);
  EXPECT_DOUBLE_EQ(n.layers[0].drop_rate, 0.25);
  EXPECT_DOUBLE_EQ(n.layers[0].probability[1], 0.25);
  EXPECT_EQ(n.layers[0].dead, 1);
  EXPECT_EQ(n.layers[1].chosen.size(), 2u);
  EXPECT_DOUBLE_EQ(n.layers[1].imbalance, 1);
  EXPECT_DOUBLE_EQ(worst_imbalance(n), 2.4);
  EXPECT_DOUBLE_EQ(mean_drop_rate(n), 0.125);

  MoeConfig moe;
  moe.loss_coeff = 0.5;
  EXPECT_DOUBLE_EQ(total_loss(n, moe), 2.5 + 0.5 * 2);
}

TEST(StepRecord, BecomesOneRowOfJson) {
  StepRecord record;
  record.step = 3;
  record.numbers.layers.resize(1);
  record.numbers.layers[0].chosen = {0.5, 0.5};
  const Json row = Json::parse(to_json(record, {}, {1}).dump());
  EXPECT_EQ(row.at("step").integer(), 3);
  EXPECT_EQ(row.at("moe_layers").array().at(0).integer(), 1);
  EXPECT_EQ(row.at("load").array().at(0).array().size(), 2u);
}

}  // namespace
}  // namespace moiety
