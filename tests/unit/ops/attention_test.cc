// Attention in tiles against the whole matrix in float64, its gradient by finite differences, and
// what a causal mask promises; on CUDA with cuDNN's kernels, where it has some, and with the
// core's.
#include "core/ops/attention.h"

#include "tests/unit/ops/attention_fixture.h"

namespace moiety {

class Attention : public AttentionFixture {};
INSTANTIATE_TEST_SUITE_P(Devices, Attention, kFloatDevices, case_name);

TEST_P(Attention, OneToken) { check(make_case(2, 1, 2, 1, 7)); }
TEST_P(Attention, ShortOddSequence) { check(make_case(3, 5, 2, 2, 8)); }
TEST_P(Attention, ExactlyOneTile) { check(make_case(1, 64, 2, 1, 16)); }
TEST_P(Attention, TwoTilesAndABit) { check(make_case(2, 131, 2, 1, 20)); }
TEST_P(Attention, EightHeadsShareTwo) { check(make_case(1, 70, 8, 2, 4)); }
TEST_P(Attention, WideHeads) { check(make_case(1, 67, 1, 1, 128)); }
TEST_P(Attention, WidestHeads) { check(make_case(1, 66, 1, 1, 250)); }
TEST_P(Attention, Dropout) { check(make_case(2, 75, 4, 2, 8, 0.25)); }

TEST_P(Attention, NarrowerValues) { check(make_case(2, 70, 4, 2, 24, 0, 16)); }
TEST_P(Attention, WiderValuesWithDropout) { check(make_case(1, 67, 2, 2, 6, 0.2, 40)); }
TEST_P(Attention, LatentSizes) { check(make_case(1, 33, 1, 1, 192, 0, 128)); }

TEST_P(Attention, EightNumbersAreEnoughForCudnn) { check(make_case(2, 31, 4, 2, 8)); }
TEST_P(Attention, UsualHeads) { check(make_case(1, 77, 2, 1, 64)); }
TEST_P(Attention, TwoTokens) { check(make_case(3, 2, 2, 2, 64)); }

/// The same numbers from cuDNN's kernels as from the core's, at lengths that no tile divides. cuDNN
/// rounds probabilities and their gradients to the dtype before the products.
TEST_P(Attention, BothKernelsAgree) {
  if (!on_cuda()) GTEST_SKIP() << "the CPU has one kernel";
  struct Sizes {
    int64_t batch, sequence, heads, kv_heads, head_dim, value_dim;
  };
  for (const Sizes& s :
       {Sizes{1, 1, 2, 2, 64, 0}, Sizes{3, 17, 4, 4, 64, 0}, Sizes{1, 77, 4, 2, 64, 0},
        Sizes{3, 129, 8, 2, 64, 0}, Sizes{2, 256, 4, 1, 128, 0}, Sizes{1, 300, 4, 4, 128, 0},
        Sizes{1, 200, 2, 2, 96, 0}, Sizes{2, 130, 4, 4, 192, 128}}) {
    Case c = make_case(s.batch, s.sequence, s.heads, s.kv_heads, s.head_dim, 0, s.value_dim);
    run(exec_, c);
    const auto out = get(c.out), log_sum = get(c.log_sum), dqkv = get(c.dqkv);
    c.shape.own_kernels = true;
    run(exec_, c);
    const std::string where = "S " + std::to_string(s.sequence) + ", hd " +
                              std::to_string(s.head_dim) + ", vd " +
                              std::to_string(c.shape.values());
    EXPECT_LE(worst(out, get(c.out)), tolerance()) << where;
    EXPECT_LE(worst(log_sum, get(c.log_sum)), 1e-4) << where;
    EXPECT_LE(worst(dqkv, get(c.dqkv)), tolerance()) << where;
    if (cudnn_takes(c.shape)) {
      EXPECT_NE(dqkv, get(c.dqkv)) << "cuDNN was not used at " << where;
    }
  }
}

TEST_P(Attention, AGraphReplaysIt) {
  if (!on_cuda()) GTEST_SKIP() << "the CPU has no graphs";
  Arena scratch(*context_);  // without guards, whose checks wait for the device
  impl_.scratch = &scratch;
  const auto work = [&](const Case& c) {
    const ArenaScope scope(scratch);
    run(exec_, c);
  };
  for (const int64_t sequence : {int64_t{77}, int64_t{256}}) {
    const Case c = make_case(2, sequence, 4, 2, 64);
    work(c);
    Graph graph(*context_, [&] { work(c); });
    const TensorView other = random({c.qkv.dim(0), c.qkv.dim(1)}, 7);
    context_->copy(c.qkv.ptr, other.ptr, static_cast<size_t>(c.qkv.numel() * size_of(dtype())));
    graph.launch();
    const auto out = get(c.out), dqkv = get(c.dqkv);
    work(c);
    EXPECT_EQ(out, get(c.out)) << sequence;
    EXPECT_EQ(dqkv, get(c.dqkv)) << sequence;
  }
}

TEST_P(Attention, EqualBitsOnRepetition) {
  const Case c = make_case(2, 400, 4, 2, 64);
  run(exec_, c);
  const auto out = get(c.out), dqkv = get(c.dqkv);
  for (int i = 0; i < 4; ++i) {
    run(exec_, c);
    EXPECT_EQ(out, get(c.out));
    EXPECT_EQ(dqkv, get(c.dqkv));
  }
}

/// Sums of dq in any order: as close to the others as they are to the truth.
TEST_P(Attention, WithoutDeterminismTheGradientIsTheSame) {
  const Case c = make_case(2, 150, 4, 2, 64);
  run(exec_, c);
  const auto dqkv = get(c.dqkv);
  impl_.deterministic = false;
  run(exec_, c);
  EXPECT_LE(worst(get(c.dqkv), dqkv), tolerance());
}

TEST_P(Attention, LogSumIsTheNormalizer) {
  const Case c = make_case(1, 9, 1, 1, 4);
  ops::attention(exec_, c.shape, c.qkv, c.out, c.log_sum);
  const Vector x = wide(c.qkv);
  Vector expected(9, 0.0);
  for (size_t q = 0; q < 9; ++q) {
    for (size_t k = 0; k <= q; ++k) {
      double s = 0;
      for (size_t d = 0; d < 4; ++d) s += x[q * 12 + d] * x[k * 12 + 4 + d];
      expected[q] += std::exp(s * c.shape.scale);
    }
    expected[q] = std::log(expected[q]);
  }
  EXPECT_LE(worst(get(c.log_sum), reference::narrow(expected)), 1e-5);
}

TEST_P(Attention, LargeScoresStayFinite) {
  Case c = make_case(1, 80, 1, 1, 8);
  c.shape.scale = c.plain.scale = 60;
  run(exec_, c);
  near(c.out, reference::attention(c.plain, wide(c.qkv)), 20);
  for (const float g : get(c.dqkv)) EXPECT_TRUE(std::isfinite(g));
}

TEST_P(Attention, ALaterTokenChangesNothingBefore) {
  const Case c = make_case(1, 150, 2, 1, 8);
  run(exec_, c);
  const auto before = get(c.out);
  std::vector<float> x = get(c.qkv);
  const size_t width = c.plain.width(), changed = 100;
  for (size_t i = changed * width; i < x.size(); ++i) x[i] += 3;
  const TensorView other = put(x, dtype(), {150, static_cast<int64_t>(width)});
  ops::attention(exec_, c.shape, other, c.out, c.log_sum);
  const auto after = get(c.out);
  const size_t row = c.plain.heads * c.plain.head_dim;
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + static_cast<int64_t>(changed * row),
                         after.begin()));
  EXPECT_NE(before, after);
}

TEST_P(Attention, SequencesDoNotSeeEachOther) {
  const Case both = make_case(2, 37, 2, 1, 8);
  run(exec_, both);
  Case second = make_case(1, 37, 2, 1, 8);
  second.qkv = both.qkv.slice(0, 37, 37);
  second.dout = both.dout.slice(0, 37, 37);
  run(exec_, second);
  const auto out = get(both.out), dqkv = get(both.dqkv);
  const auto alone = get(second.out), dalone = get(second.dqkv);
  EXPECT_TRUE(
      std::equal(alone.begin(), alone.end(), out.begin() + static_cast<int64_t>(alone.size())));
  EXPECT_TRUE(
      std::equal(dalone.begin(), dalone.end(), dqkv.begin() + static_cast<int64_t>(dalone.size())));
}

TEST_P(Attention, DropoutKeepsTheMean) {
  Case c = make_case(1, 300, 4, 4, 4, 0.5);
  std::vector<float> x(count(c.qkv.numel()), 0);  // all probabilities equal, all values 1
  for (size_t i = 0; i < x.size(); ++i) x[i] = i % c.plain.width() >= 32 ? 1.0f : 0.0f;
  c.qkv = put(x, dtype(), {300, 48});
  ops::attention(exec_, c.shape, c.qkv, c.out, c.log_sum);
  double sum = 0;
  const auto out = get(c.out);
  for (size_t t = 100; t < 300; ++t) {
    for (size_t h = 0; h < 4; ++h) sum += static_cast<double>(out[t * 16 + h * 4]) / 800;
  }
  EXPECT_NEAR(sum, 1, 0.015);
}

TEST_P(Attention, SameBitsForAnyNumberOfThreads) {
  const Case c = make_case(3, 90, 4, 2, 8, 0.1);
  expect_same_bits(c.out, [&](Exec& exec) { run(exec, c); });
  expect_same_bits(c.dqkv, [&](Exec& exec) { run(exec, c); });
}

TEST_P(Attention, UnevenGroupsAreRefused) {
  const ops::AttentionShape shape{1, 2, 3, 2, 4};
  EXPECT_THROW(ops::attention(exec_, shape, random({2, 28}, 1), make(dtype(), {2, 12}),
                              make(DType::kF32, {1, 3, 2})),
               Error);
}

}  // namespace moiety
