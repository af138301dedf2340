// What the decoder promises beside its gradients.
#include "core/model/gpt.h"

#include "tests/unit/model/gpt_fixture.h"

namespace moiety {
namespace {

/// CPU and CUDA in f32.
class GptF32Test : public GptTest {};

TEST_P(GptF32Test, HalvesOfABatchAccumulateToTheWhole) {
  RunConfig config = tiny_config();
  config.model.dropout = 0.1;
  config.moe.loss_coeff = 0;  // a product of means: depends on the partition by definition
  build(config, test_factory({.aux = false}));
  step();
  const double whole = total();
  std::vector<std::vector<float>> expected;
  for (TableEntry& e : model_->parameters().entries()) {
    expected.push_back(e.parameter.grad ? get(e.parameter.grad) : std::vector<float>{});
  }
  clear_sums();
  const TensorView second = on_device(RowMap{kBatch / 2 * kSequence});
  for (int64_t half = 0; half < 2; ++half) {
    model_->parameters().set_grad_mode(half == 0 ? GradMode::kOverwrite : GradMode::kAccumulate);
    MicroBatch part = batch(half * kBatch / 2, kBatch / 2);
    if (half == 1) part.rows = static_cast<const RowMap*>(second.ptr);
    model_->forward_backward(exec_, part, objective_, 2, sums_);
  }
  EXPECT_NEAR(total(), whole, 1e-5);
  size_t i = 0;
  for (TableEntry& e : model_->parameters().entries()) {
    const std::vector<float>& whole_gradient = expected[i++];
    if (!e.parameter.grad) continue;
    EXPECT_LT(worst(get(e.parameter.grad), whole_gradient), 2e-6) << e.name;
  }
}

TEST_P(GptF32Test, TheSameStepHasTheSameBitsAndAnotherStepOtherNoise) {
  RunConfig config = tiny_config();
  config.model.dropout = 0.1, config.model.attention_dropout = 0.1;
  build(config);
  const double first = step();
  const std::vector<float> g = grad("layers.0.attention.qkv.weight");
  EXPECT_EQ(step(), first);
  EXPECT_EQ(grad("layers.0.attention.qkv.weight"), g);
  StepState later;
  later.batch = 1;
  set_step(later);
  EXPECT_NE(step(), first);
}

TEST_P(GptF32Test, TheLossScaleScalesEveryGradientAndNoLoss) {
  RunConfig config = tiny_config();
  config.moe.balance_loss_coeff = 0.1, config.moe.z_loss_coeff = 0.01;
  build(config);
  const double first = step();
  std::vector<std::vector<float>> expected;
  for (TableEntry& e : model_->parameters().entries()) {
    expected.push_back(e.parameter.grad ? get(e.parameter.grad) : std::vector<float>{});
  }
  StepState scaled;
  scaled.loss_scale = 8;
  set_step(scaled);
  EXPECT_EQ(step(), first);
  size_t i = 0;
  for (TableEntry& e : model_->parameters().entries()) {
    std::vector<float>& unscaled = expected[i++];
    for (float& x : unscaled) x *= 8;
    if (!e.parameter.grad) continue;
    EXPECT_LT(worst(get(e.parameter.grad), unscaled), 1e-6) << e.name;
  }
}

TEST_P(GptF32Test, FrozenPartsLeaveTheOtherGradientsAsTheyAre) {
  build(tiny_config());
  step();
  const std::vector<float> expected = grad("layers.0.attention.qkv.weight");
  RunConfig config = tiny_config();
  config.model.freeze = {"layers.1.*", "embedding.*", "final_norm.*"};
  build(config);
  step();
  EXPECT_EQ(grad("layers.0.attention.qkv.weight"), expected);
  EXPECT_FALSE(model_->parameters().find("layers.1.moe.experts.w_in")->parameter.grad);
}

TEST_P(GptF32Test, EvaluationEqualsTrainingWithoutNoise) {
  RunConfig config = tiny_config();
  build(config, test_factory({.k = 2, .capacity = 0}));
  step();
  const double loss = sum(sums_.loss);
  EXPECT_NEAR(evaluate(), loss, 1e-6);
  EXPECT_EQ(sum(sums_.tokens), kBatch * kSequence);
}

TEST_P(GptF32Test, EvaluationHasNoDropoutAndItsOwnCapacity) {
  RunConfig config = tiny_config();
  config.model.dropout = 0.5;
  build(config, test_factory({.k = 2, .capacity = 4, .eval_capacity = 0}));
  evaluate();
  EXPECT_EQ(sum(sums_.dropped), 0);
  const double loss = sum(sums_.loss);
  StepState later;
  later.batch = 5;
  set_step(later);
  EXPECT_EQ(evaluate(), loss);
}

TEST_P(GptF32Test, LogitsAreThoseOfTheLossAndCausal) {
  build(tiny_config());
  const TensorView logits = make(DType::kF32, {kBatch * kSequence, 24});
  model_->logits(exec_, tokens_, logits);
  const std::vector<float> all = get(logits);
  const std::vector<int32_t> targets = get_i32(targets_);
  double loss = 0;
  for (size_t t = 0; t < targets.size(); ++t) {
    if (targets[t] < 0) continue;
    double sum = 0;
    for (size_t v = 0; v < 24; ++v) sum += std::exp(static_cast<double>(all[t * 24 + v]));
    loss += std::log(sum) - static_cast<double>(all[t * 24 + static_cast<size_t>(targets[t])]);
  }
  EXPECT_NEAR(evaluate(), loss / (kBatch * kSequence - 1), 1e-5);
  std::vector<int32_t> changed = get_i32(tokens_);
  changed[5] = (changed[5] + 1) % 24;  // the last token of the first sequence
  model_->logits(exec_, put(changed, {kBatch, kSequence}), logits);
  const std::vector<float> after = get(logits);
  for (size_t i = 0; i < 5 * 24; ++i) EXPECT_EQ(after[i], all[i]);
  EXPECT_NE(after[5 * 24], all[5 * 24]);
}

TEST_P(GptF32Test, BalancingOverTheModelPoolsAllLayers) {
  RunConfig config = tiny_config();
  config.moe.layers = {0, 1};
  config.moe.num_experts = {4, 4};
  config.moe.balance_scope = BalanceScope::kModel;
  config.moe.balance_loss_coeff = 0.1;
  build(config);
  step();
  const std::vector<float> chosen = get(sums_.chosen), p = get(sums_.probability);
  const double n = 2 * kBatch * kSequence;
  double expected = 0;
  for (size_t e = 0; e < 4; ++e) {
    expected += 4 * (static_cast<double>(chosen[e]) + chosen[4 + e]) / n *
                (static_cast<double>(p[e]) + p[4 + e]) / n;
  }
  EXPECT_NEAR(sum(sums_.balance_model), expected, 1e-5);
  config.moe.num_experts = {4, 2};
  EXPECT_THROW(build(config), ConfigError);
}

TEST_P(GptF32Test, RefusesWhatFitsNoDecoder) {
  RunConfig config = tiny_config();
  config.model.heads = 5;
  EXPECT_THROW(build(config), ConfigError);
  config = tiny_config();
  config.model.freeze = {"layers.7.*"};
  EXPECT_THROW(build(config), ConfigError);
  build(tiny_config());
  const TensorView long_one = put(std::vector<int32_t>(7, 1), {1, 7});
  EXPECT_THROW(model_->logits(exec_, long_one, make(DType::kF32, {7, 24})), Error);
}

TEST_P(GptF32Test, FlopsByHand) {
  build(tiny_config());
  const double attention = 2.0 * 16 * (48 + 16) + 2.0 * 16 * 7, ffn = 4.0 * 16 * 20;
  EXPECT_EQ(model_->flops_per_token(), 2 * attention + ffn + 2.0 * 16 * 4 + 2.0 * 16 * 24);
  EXPECT_EQ(model_->flops_per_choice(), std::vector<double>{4.0 * 16 * 12});
}

TEST_P(GptF32Test, FlopsOfLatentAttentionByHand) {
  RunConfig config = tiny_config();
  config.model.positions = "rope", config.model.attention = "mla";
  config.model.mla = {.q_lora_rank = 7,
                      .kv_lora_rank = 9,
                      .qk_nope_head_dim = 5,
                      .qk_rope_head_dim = 4,
                      .v_head_dim = 3};
  config.moe.enabled = false;
  build(config);
  const double q = 16 * 7 + 7 * 36, kv = 16 * 13 + 9 * 32, out = 12 * 16;
  const double attention = 2 * (q + kv + out) + 4.0 * (9 + 3) * 7, ffn = 4.0 * 16 * 20;
  EXPECT_EQ(model_->flops_per_token(), 2 * (attention + ffn) + 2.0 * 16 * 24);
}

INSTANTIATE_TEST_SUITE_P(Devices, GptF32Test, kF32Devices, case_name);

/// Every float type.
class GptTypesTest : public GptTest {};

TEST_P(GptTypesTest, LossAndGradientsAreFinite) {
  RunConfig config = tiny_config();
  config.moe.use_residual = true;
  config.moe.balance_loss_coeff = 0.1, config.moe.z_loss_coeff = 0.01;
  build(config, test_factory({.k = 2, .capacity = 9}));
  const double loss = step();
  EXPECT_GT(loss, 2);
  EXPECT_LT(loss, 8);
  for (TableEntry& e : model_->parameters().entries()) {
    if (!e.parameter.grad) continue;
    for (const float g : get(e.parameter.grad)) ASSERT_TRUE(std::isfinite(g)) << e.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, GptTypesTest, kFloatDevices, case_name);

}  // namespace
}  // namespace moiety
