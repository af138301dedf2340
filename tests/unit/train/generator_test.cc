// What a generated token depends on, and what not.
#include "core/train/generator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/config/load.h"
#include "core/train/session.h"
#include "core/train/step_runner.h"

namespace moiety {
namespace {

// Its experts choose tokens among all that are there: padding would take the places of text.
constexpr const char* kConfig = R"(
schema_version: 1
run: {steps: 1, device: cpu, threads: 2}
model:
  {layers: 3, hidden: 32, heads: 2, ffn_hidden: 64, vocab_size: 32, sequence_length: 64, init_std: 0.5}
moe:
  num_experts: 4
  expert_interval: 1
  gate: {type: expert_choice, params: {allow_future_leak: true}}
data: {type: synthetic, params: {branching: 2}}
optimizer: {type: adamw}
train_batch_size: 1
)";

class GeneratorTest : public testing::Test {
 protected:
  GeneratorTest() {
    impl_.context = session_.context.get(), impl_.scratch = &scratch_;
    impl_.step = &control_.step, impl_.rows = &rows_;
    impl_.seed = config_.run.seed;
  }
  /// The likeliest token after `text`, which lies in front of `padding` as wide as the shape.
  int32_t next(const std::vector<int32_t>& text, int32_t padding, bool masked) {
    std::vector<int32_t> tokens(32, padding);
    std::copy(text.begin(), text.end(), tokens.begin());
    std::vector<uint8_t> mask(32);
    std::fill_n(mask.begin(), text.size(), uint8_t{1});
    MicroBatch batch;
    batch.tokens = view_of(tokens.data(), DType::kI32, {1, 32}, Device{});
    if (masked) batch.token_mask = view_of(mask.data(), DType::kU8, {1, 32}, Device{});
    const TensorView features = session_.model->features(exec_, batch, /*training=*/false);
    std::vector<float> logits(size_t{32} * 32);
    session_.model->feature_logits(exec_, features,
                                   view_of(logits.data(), DType::kF32, {32, 32}, Device{}));
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(32 * (text.size() - 1));
    return static_cast<int32_t>(std::max_element(row, row + 32) - row);
  }

  PluginRegistry registry_{PluginRegistry::default_folders(
      {std::filesystem::path(MOIETY_BINARY_DIR) / "lib" / "moiety" / "plugins"})};
  RunConfig config_ = parse_config(kConfig, "generator_test", {}, registry_);
  Session session_ = make_model_session(config_, registry_);
  Arena scratch_{*session_.context};
  ops::StepControl control_ = initial_control(config_);
  RowMap rows_;
  Exec::Impl impl_;
  Exec exec_{&impl_};
};

TEST_F(GeneratorTest, PaddingTakesNoPlaceOfTheText) {
  Generator generator(*session_.model, exec_, config_.model.sequence_length,
                      config_.model.vocab_size);
  int64_t moved_by_padding = 0;
  for (int32_t first = 0; first < 32; ++first) {
    const std::vector<int32_t> text = {first, (first * 7 + 3) % 32, (first * 5 + 1) % 32};
    const int32_t expected = next(text, /*padding=*/9, /*masked=*/true);
    EXPECT_EQ(next(text, /*padding=*/0, /*masked=*/true), expected);
    EXPECT_EQ(generator.generate(text, 1, /*temperature=*/0, /*seed=*/1).at(0), expected) << first;
    moved_by_padding += next(text, /*padding=*/0, /*masked=*/false) != expected ? 1 : 0;
  }
  EXPECT_GT(moved_by_padding, 4) << "this model cannot show the difference";
}

}  // namespace
}  // namespace moiety
