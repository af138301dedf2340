// Gradients of the whole decoder, for every variant of its parts.
#include "tests/unit/model/gpt_fixture.h"

namespace moiety {
namespace {

class GptGradientTest : public GptTest {};

TEST_P(GptGradientTest, Gpt2Like) {
  build(tiny_config());
  check_gradients();
}

TEST_P(GptGradientTest, MixtralLike) {
  RunConfig config = tiny_config();
  config.model.norm = "rmsnorm", config.model.activation = "swiglu";
  config.model.positions = "rope", config.model.kv_heads = 2;
  config.model.tie_embeddings = config.model.bias = false;
  config.moe.layers = {0, 1};
  config.moe.num_experts = {4, 4};
  config.moe.balance_loss_coeff = 0.1;
  config.moe.balance_scope = BalanceScope::kModel;
  MoeFactory factory = test_factory({.aux = false});
  factory.expert = [](const ModelDims& d) {
    return std::make_shared<GatedFeedForward>(GatedFeedForward::Form{}, d);
  };
  build(config, factory);
  check_gradients();
}

TEST_P(GptGradientTest, DenseWithReluAndNoPositions) {
  RunConfig config = tiny_config();
  config.model.activation = "relu", config.model.positions = "none";
  config.moe.enabled = false;
  build(config);
  EXPECT_EQ(model_->moe_layers(), 0);
  check_gradients();
}

TEST_P(GptGradientTest, GeluTanhUntiedWithoutBiases) {
  RunConfig config = tiny_config();
  config.model.activation = "gelu_tanh";
  config.model.tie_embeddings = config.model.bias = false;
  build(config);
  check_gradients();
}

TEST_P(GptGradientTest, DropoutEverywhere) {
  RunConfig config = tiny_config();
  config.model.dropout = 0.2, config.model.attention_dropout = 0.1;
  build(config);
  check_gradients();
}

TEST_P(GptGradientTest, MoeEverywhereWithDropsAndAllLosses) {
  RunConfig config = tiny_config();
  config.moe.layers = {0, 1};
  config.moe.num_experts = {2, 4};
  config.moe.balance_loss_coeff = 0.1, config.moe.z_loss_coeff = 0.01;
  build(config, test_factory({.k = 2, .capacity = 8, .jitter = 0.05}));
  check_gradients();
  EXPECT_GT(sum(sums_.dropped), 0);
}

TEST_P(GptGradientTest, ResidualMoe) {
  RunConfig config = tiny_config();
  config.moe.use_residual = true;
  build(config, test_factory({.k = 1, .capacity = 6}));
  check_gradients();
}

TEST_P(GptGradientTest, ShapedLayers) {
  RunConfig config = tiny_config();
  config.moe.layers = {0, 1};
  config.moe.num_experts = {3, 3};
  MoeFactory factory = test_factory();
  factory.expert = [](const ModelDims& d) { return std::make_shared<ShapingExpert>(d); };
  build(config, factory);
  EXPECT_EQ(model_->experts_of_layers(), (std::vector<int64_t>{3, 6}));
  EXPECT_NE(model_->parameters().find("layers.0.moe.dense_gate.weight"), nullptr);
  check_gradients();
}

/// A Llama-like decoder with heads wider than hidden / heads.
RunConfig wide_heads() {
  RunConfig config = tiny_config();
  config.model.norm = "rmsnorm", config.model.activation = "swiglu";
  config.model.positions = "rope", config.model.kv_heads = 2, config.model.head_dim = 6;
  config.model.tie_embeddings = config.model.bias = false;
  return config;
}

TEST_P(GptGradientTest, NormOfEachHead) {
  RunConfig config = wide_heads();
  config.model.qk_norm = "head";
  build(config);
  EXPECT_EQ(model_->parameters().find("layers.0.attention.q_norm.weight")->shape,
            std::vector<int64_t>{6});
  EXPECT_EQ(model_->parameters().find("layers.0.attention.qkv.weight")->shape,
            (std::vector<int64_t>{16, 48}));
  check_gradients();
}

TEST_P(GptGradientTest, NormOfTheWholeProjection) {
  RunConfig config = wide_heads();
  config.model.qk_norm = "projection", config.model.rope_interleaved = true;
  build(config);
  EXPECT_EQ(model_->parameters().find("layers.0.attention.k_norm.weight")->shape,
            std::vector<int64_t>{12});
  check_gradients();
}

TEST_P(GptGradientTest, LatentAttention) {
  RunConfig config = wide_heads();
  config.model.attention = "mla", config.model.rope_interleaved = true;
  config.model.mla = {.q_lora_rank = 7,
                      .kv_lora_rank = 9,
                      .qk_nope_head_dim = 5,
                      .qk_rope_head_dim = 4,
                      .v_head_dim = 3};
  build(config);
  check_gradients();
}

TEST_P(GptGradientTest, LatentAttentionWithPlainQueries) {
  RunConfig config = wide_heads();
  config.model.attention = "mla";
  config.model.mla = {.q_lora_rank = 0,
                      .kv_lora_rank = 6,
                      .qk_nope_head_dim = 3,
                      .qk_rope_head_dim = 2,
                      .v_head_dim = 5};
  build(config);
  EXPECT_EQ(model_->parameters().find("layers.0.attention.q.weight")->shape,
            (std::vector<int64_t>{16, 20}));
  check_gradients();
}

INSTANTIATE_TEST_SUITE_P(Devices, GptGradientTest, kF32Devices, case_name);

}  // namespace
}  // namespace moiety
