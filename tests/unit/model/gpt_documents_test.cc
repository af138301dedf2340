// A packed sequence of documents is to the model what its documents are on their own.
#include "tests/unit/model/gpt_fixture.h"

namespace moiety {
namespace {

/// CPU and CUDA in f32.
class GptDocuments : public GptTest {
 protected:
  static constexpr int32_t kEnd = 23;

  /// Every sequence is two documents of three tokens.
  void build_packed(RunConfig config) {
    config.model.documents.end_token = kEnd;
    build(config);
    std::vector<int32_t> tokens = get_i32(tokens_);
    for (size_t t = 0; t < tokens.size(); ++t) {
      tokens[t] = t % kSequence == 2 ? kEnd : tokens[t] % kEnd;
    }
    tokens_ = put(tokens, {kBatch, kSequence});
  }
  /// The same tokens, each document a sequence.
  MicroBatch apart() {
    MicroBatch apart = batch();
    apart.tokens = tokens_.reshape({2 * kBatch, 3}),
    apart.targets = targets_.reshape({2 * kBatch, 3});
    return apart;
  }
  double run(const MicroBatch& batch) {
    clear_sums();
    model_->forward_backward(exec_, batch, objective_, 1, sums_);
    return total();
  }
  std::vector<std::vector<float>> gradients() {
    std::vector<std::vector<float>> all;
    for (TableEntry& e : model_->parameters().entries()) {
      if (e.parameter.grad) all.push_back(get(e.parameter.grad));
    }
    return all;
  }
  void expect_equal_to_documents_apart(const RunConfig& config) {
    build_packed(config);
    const double packed = run(batch());
    const auto packed_gradients = gradients();
    EXPECT_NEAR(run(apart()), packed, 1e-5);
    const auto expected = gradients();
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_LT(worst(packed_gradients[i], expected[i]), 5e-6) << "gradient " << i;
    }
    clear_sums();
    model_->evaluate(exec_, batch(), objective_, sums_);
    const double evaluated = sum(sums_.loss);
    clear_sums();
    model_->evaluate(exec_, apart(), objective_, sums_);
    EXPECT_NEAR(sum(sums_.loss), evaluated, 1e-5);
  }
};

RunConfig packed_config(const std::string& positions) {
  RunConfig config = tiny_config();
  config.model.positions = positions;
  config.model.documents = {.attend_within = true, .restart_positions = true};
  return config;
}

TEST_P(GptDocuments, RotaryPositions) {
  RunConfig config = packed_config("rope");
  config.model.kv_heads = 2;
  expect_equal_to_documents_apart(config);
}

TEST_P(GptDocuments, LearnedPositions) {
  expect_equal_to_documents_apart(packed_config("learned"));
}
TEST_P(GptDocuments, NoPositions) { expect_equal_to_documents_apart(packed_config("none")); }

TEST_P(GptDocuments, LatentAttention) {
  RunConfig config = packed_config("rope");
  config.model.attention = "mla";
  config.model.mla = {.q_lora_rank = 6,
                      .kv_lora_rank = 5,
                      .qk_nope_head_dim = 3,
                      .qk_rope_head_dim = 4,
                      .v_head_dim = 5};
  config.model.head_dim = 7;
  expect_equal_to_documents_apart(config);
}

TEST_P(GptDocuments, RecomputedLayers) {
  RunConfig config = packed_config("rope");
  config.recompute.policy = "full";
  expect_equal_to_documents_apart(config);
}

/// Rotary angles are relative: within a document it matters to rounding alone where they begin.
TEST_P(GptDocuments, AttentionAloneKeepsRotaryDocumentsApart) {
  RunConfig config = packed_config("rope");
  config.model.documents.restart_positions = false;
  expect_equal_to_documents_apart(config);
}

TEST_P(GptDocuments, PositionsAloneDoNot) {
  RunConfig config = packed_config("learned");
  config.model.documents.attend_within = false;
  build_packed(config);
  const double restarted = run(batch());
  EXPECT_GT(std::fabs(run(apart()) - restarted), 1e-4);
  config.model.documents.restart_positions = false;
  build_packed(config);
  EXPECT_GT(std::fabs(run(batch()) - restarted), 1e-4);
}

TEST_P(GptDocuments, AreNotToldApartWithoutAnEndToken) {
  RunConfig config = packed_config("rope");
  config.model.documents.end_token = -1;
  EXPECT_THROW(build(config), ConfigError);
}

INSTANTIATE_TEST_SUITE_P(Devices, GptDocuments, kF32Devices, case_name);

}  // namespace
}  // namespace moiety
