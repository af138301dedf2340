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

TEST(StepSums, EveryBalancingLossHasItsCoefficient) {
  const DeviceContext context(Device{}, 1);
  const SumsShape shape{2, 3, 0, {3, 3}};
  const StepSumsBuffer buffer(context, shape);
  buffer.zero(context);
  const StepSums& s = buffer.sums();
  s.balance.data<float>()[0] = 2;
  s.balance_sequence.data<float>()[1] = 3;
  s.balance_global.data<float>()[0] = 5;
  s.importance.data<float>()[1] = 7;
  s.load.data<float>()[0] = 11;
  s.balance_model.data<float>()[0] = 13;
  const StepNumbers n = read_sums(static_cast<const float*>(buffer.data()), shape, 2, 0);
  EXPECT_DOUBLE_EQ(n.layers[0].balance, 1);           // mean of two micro-batches
  EXPECT_DOUBLE_EQ(n.layers[1].balance_sequence, 3);  // of the train batch
  EXPECT_DOUBLE_EQ(n.layers[0].balance_global, 5);
  EXPECT_DOUBLE_EQ(n.balance_model, 6.5);
  MoeConfig moe;
  moe.loss_coeff = 0;
  moe.balance_losses = {.micro_batch = 1, .sequence = 10, .global_batch = 100, .model = 1000};
  EXPECT_DOUBLE_EQ(total_loss(n, moe), 1 + 30 + 500 + 6500);
  moe.balance_losses = {.importance = 2, .load = 4};
  EXPECT_DOUBLE_EQ(total_loss(n, moe), 7 + 22);
  moe.balance_losses = {};
  moe.balance_scope = BalanceScope::kGlobalBatch, moe.balance_loss_coeff = 2;
  EXPECT_DOUBLE_EQ(total_loss(n, moe), 10);

  StepRecord record;
  record.numbers = n;
  const Json row = Json::parse(to_json(record, {}, {1, 3}).dump());
  EXPECT_EQ(row.at("balance_sequence").array().at(1).number(), 3);
  EXPECT_EQ(row.at("load_loss").array().at(0).number(), 5.5);
  EXPECT_EQ(row.at("balance_model").number(), 6.5);
  record.numbers.balance_model = record.numbers.layers[1].importance = 0;
  const Json off = Json::parse(to_json(record, {}, {1, 3}).dump());
  EXPECT_EQ(off.find("importance"), nullptr);  // 0 in every layer: not on
  EXPECT_EQ(off.find("balance_model"), nullptr);
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
