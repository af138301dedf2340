// DeepSpeed's batch triangle: train = micro * accumulation * ranks.
#include "tests/unit/config/config_test.h"

namespace moiety {
namespace {

struct Case {
  const char* text;
  int64_t ranks, train, micro, steps;
};

class Batch : public testing::TestWithParam<Case> {};

TEST_P(Batch, IsInferred) {
  const Case& c = GetParam();
  const RunConfig config = parse(c.text, {}, c.ranks);
  EXPECT_EQ(config.train_batch_size, c.train);
  EXPECT_EQ(config.micro_batch_size, c.micro);
  EXPECT_EQ(config.gradient_accumulation_steps, c.steps);
  EXPECT_EQ(config.world_size, c.ranks);
}

const Case kCases[] = {
    {"train_batch_size: 64\ntrain_micro_batch_size_per_gpu: 4\ngradient_accumulation_steps: 8", 2,
     64, 4, 8},
    {"train_batch_size: 64\ntrain_micro_batch_size_per_gpu: 4", 2, 64, 4, 8},
    {"train_batch_size: 64\ngradient_accumulation_steps: 8", 2, 64, 4, 8},
    {"train_micro_batch_size_per_gpu: 4\ngradient_accumulation_steps: 8", 2, 64, 4, 8},
    {"train_batch_size: 64", 2, 64, 32, 1},
    {"train_micro_batch_size_per_gpu: 4", 2, 8, 4, 1},
};
INSTANTIATE_TEST_SUITE_P(Triangle, Batch, testing::ValuesIn(kCases));

TEST(Batch, SaysHowItCameAbout) {
  const RunConfig config = parse("train_batch_size: 64\ngradient_accumulation_steps: 8", {}, 2);
  EXPECT_EQ(source_of(config, "train_micro_batch_size_per_gpu"), "from 64 = 4 * 8 * 2 ranks");
}

}  // namespace
}  // namespace moiety
