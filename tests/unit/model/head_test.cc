// The head by blocks of rows.
#include "core/model/head.h"

#include "core/model/gpt.h"
#include "tests/unit/device_test.h"
#include "tests/unit/model/test_components.h"

namespace moiety {
namespace {

class HeadTest : public DeviceTest {};

/// With this vocabulary a block is 64 rows: 70 rows are two blocks, 35 rows are one.
TEST_P(HeadTest, TwoBlocksOfRowsAreTheSumOfTheirHalves) {
  constexpr int64_t kVocab = int64_t{1} << 19, kSequence = 5, kBatch = 14;
  RunConfig config;
  ModelConfig& m = config.model;
  m.layers = 1, m.hidden = 8, m.heads = 2, m.kv_heads = 2, m.ffn_hidden = 8;
  m.vocab_size = kVocab, m.sequence_length = kSequence;
  m.init_std = 0.3;
  Gpt model(config, {}, *context_);
  std::vector<int32_t> ids(kBatch * kSequence);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 7919 % kVocab);
  const TensorView tokens = put(ids, {kBatch, kSequence});
  for (int32_t& id : ids) id = static_cast<int32_t>((id + 1) % kVocab);
  const TensorView targets = put(ids, {kBatch, kSequence});
  const TensorView denominator = put(std::vector<float>{70}, DType::kF32, {1});
  StepSums sums;
  sums.loss = make(DType::kF32, {1});

  const auto run = [&](int64_t parts) {
    ops::fill(exec_, sums.loss, 0);
    for (int64_t part = 0; part < parts; ++part) {
      model.parameters().set_grad_mode(part == 0 ? GradMode::kOverwrite : GradMode::kAccumulate);
      MicroBatch batch;
      const int64_t count = kBatch / parts;
      batch.tokens = tokens.slice(0, part * count, count);
      batch.targets = targets.slice(0, part * count, count);
      batch.denominator = denominator;
      model.forward_backward(exec_, batch, CausalLoss(), parts, sums);
    }
    std::vector<std::vector<float>> all = {get(sums.loss)};
    for (TableEntry& e : model.parameters().entries()) all.push_back(get(e.parameter.grad));
    return all;
  };
  const auto whole = run(1), halves = run(2);
  EXPECT_GT(whole[0][0], 12);  // log 2^19 is 13.2
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_LT(worst(whole[i], halves[i]), 2e-6) << i;
}

INSTANTIATE_TEST_SUITE_P(Devices, HeadTest, kF32Devices, case_name);

}  // namespace
}  // namespace moiety
