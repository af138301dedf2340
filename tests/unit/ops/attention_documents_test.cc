// Attention within the documents of packed sequences: against the whole matrix in float64, and
// against the documents on their own; where they begin; positions that count from there.
#include "core/ops/documents.h"
#include "core/ops/embedding.h"
#include "tests/unit/ops/attention_fixture.h"

namespace moiety {

namespace {

/// Lengths of documents, one list a sequence, as starts [T].
std::vector<int32_t> starts_of(const std::vector<std::vector<int64_t>>& sequences) {
  std::vector<int32_t> starts;
  for (const auto& lengths : sequences) {
    int64_t place = 0;
    for (const int64_t length : lengths) {
      starts.insert(starts.end(), static_cast<size_t>(length), static_cast<int32_t>(place));
      place += length;
    }
  }
  return starts;
}

}  // namespace

class AttentionDocuments : public AttentionFixture {
 protected:
  void SetUp() override {
    AttentionFixture::SetUp();
    impl_.deterministic = false;  // cuDNN's backward of documents has no order
  }
  using Lengths = std::vector<std::vector<int64_t>>;
  Case packed(const Lengths& lengths, int64_t heads, int64_t kv_heads, int64_t head_dim,
              double dropout = 0, int64_t value_dim = 0) {
    const std::vector<int32_t> starts = starts_of(lengths);
    const auto batch = static_cast<int64_t>(lengths.size());
    const auto tokens = static_cast<int64_t>(starts.size());
    Case c = make_case(batch, tokens / batch, heads, kv_heads, head_dim, dropout, value_dim);
    c.plain.starts = starts;
    c.documents.starts = put(starts, {tokens});
    list(c);
    return c;
  }
  /// Lists `most` documents, or as many as a model does.
  void list(Case& c, int64_t most = 0) {
    if (most == 0) most = ops::documents_to_list(c.shape.batch, c.shape.sequence);
    const TensorView begins = make(DType::kI32, {most + 1});
    ops::list_documents(exec_, c.shape.sequence, c.documents.starts, begins);
    c.documents.begins = begins;
  }
  std::vector<int32_t> starts_behind(const std::vector<int32_t>& tokens, int64_t sequence) {
    const auto T = static_cast<int64_t>(tokens.size());
    const TensorView starts = make(DType::kI32, {T});
    ops::document_starts(exec_, put(tokens, {T}), sequence, /*end=*/9, starts);
    return get_i32(starts);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, AttentionDocuments, kFloatDevices, case_name);

TEST_P(AttentionDocuments, ShortOnes) { check(packed({{3, 2, 4}, {1, 7, 1}}, 2, 1, 8)); }
TEST_P(AttentionDocuments, OfOneTokenEach) { check(packed({{1, 1, 1, 1, 1}}, 2, 2, 8)); }
TEST_P(AttentionDocuments, WholeSequences) { check(packed({{70}, {70}}, 2, 1, 8)); }
TEST_P(AttentionDocuments, AtTheEdgesOfTiles) {
  check(packed({{64, 64, 3}, {63, 1, 67}}, 2, 1, 8));
}
TEST_P(AttentionDocuments, OneAcrossThreeTiles) { check(packed({{5, 140, 1, 44}}, 4, 2, 16)); }
TEST_P(AttentionDocuments, InTilesOf32) { check(packed({{31, 1, 33, 2}}, 1, 1, 136)); }
TEST_P(AttentionDocuments, EightHeadsShareTwo) { check(packed({{20, 49}}, 8, 2, 8)); }
TEST_P(AttentionDocuments, NarrowerValues) { check(packed({{40, 30}, {69, 1}}, 4, 2, 24, 0, 16)); }
TEST_P(AttentionDocuments, WiderValuesWithDropout) {
  check(packed({{40, 27}, {2, 65}}, 2, 2, 6, 0.2, 40));
}
TEST_P(AttentionDocuments, UsualHeads) { check(packed({{50, 27, 53}}, 2, 1, 64)); }
TEST_P(AttentionDocuments, LatentSizes) { check(packed({{20, 13}}, 1, 1, 192, 0, 128)); }

/// The same numbers from cuDNN's kernels, where it has some, as from the core's.
TEST_P(AttentionDocuments, BothKernelsAgree) {
  if (!on_cuda()) GTEST_SKIP() << "the CPU has one kernel";
  struct Sizes {
    Lengths lengths;
    int64_t heads, kv_heads, head_dim, value_dim;
  };
  for (const Sizes& s :
       {Sizes{{{17, 1, 59}}, 4, 2, 64, 0}, Sizes{{{128, 1}, {1, 128}, {129}}, 8, 2, 64, 0},
        Sizes{{{100, 156}, {256}}, 4, 1, 128, 0}, Sizes{{{1, 1, 298}}, 4, 4, 128, 0},
        Sizes{{{700, 24, 300}, {512, 511, 1}}, 8, 8, 64, 0}, Sizes{{{60, 70}}, 4, 4, 192, 128}}) {
    Case c = packed(s.lengths, s.heads, s.kv_heads, s.head_dim, 0, s.value_dim);
    run(exec_, c);
    const auto out = get(c.out), log_sum = get(c.log_sum), dqkv = get(c.dqkv);
    c.shape.own_kernels = true;
    run(exec_, c);
    const std::string where =
        "S " + std::to_string(c.shape.sequence) + ", hd " + std::to_string(s.head_dim);
    EXPECT_LE(worst(out, get(c.out)), tolerance()) << where;
    EXPECT_LE(worst(log_sum, get(c.log_sum)), 1e-4) << where;
    EXPECT_LE(worst(dqkv, get(c.dqkv)), tolerance()) << where;
    if (cudnn_takes(c.shape)) {
      EXPECT_NE(out, get(c.out)) << "cuDNN's forward was not used at " << where;
      EXPECT_NE(dqkv, get(c.dqkv)) << "cuDNN's backward was not used at " << where;
    }
  }
}

/// More documents than are listed, of one batch and the other: the core's kernels compute the rest.
TEST_P(AttentionDocuments, WhatIsNotListedIsNotLost) {
  for (const int64_t most : {1, 2, 3, 7}) {
    Case c = packed({{20, 1, 79}, {30, 34, 36}}, 4, 2, 8);
    list(c, most);
    check(c);
  }
}

/// A captured graph reads the boundaries from the device: others, and other numbers of documents,
/// need no new capture.
TEST_P(AttentionDocuments, AGraphFollowsTheBoundaries) {
  if (!on_cuda()) GTEST_SKIP() << "the CPU has no graphs";
  Arena scratch(*context_);
  impl_.scratch = &scratch;
  const Case c = packed({{100, 28, 128}, {256}}, 4, 2, 64);
  const TensorView starts = put(c.plain.starts, {512}), begins = make(DType::kI32, {5});
  const Case on_device = [&] {
    Case copy = c;
    copy.documents = {starts, begins};
    return copy;
  }();
  const auto work = [&] {
    const ArenaScope scope(scratch);
    ops::list_documents(exec_, 256, starts, begins);
    run(exec_, on_device);
  };
  work();
  Graph graph(*context_, work);
  for (const Lengths& lengths : {Lengths{{1, 255}, {64, 64, 64, 64}}, Lengths{{256}, {9, 247}}}) {
    const TensorView other = put(starts_of(lengths), {512});
    context_->copy(starts.ptr, other.ptr, 512 * sizeof(int32_t));
    graph.launch();
    const auto out = get(c.out), dqkv = get(c.dqkv);
    work();
    EXPECT_EQ(out, get(c.out));
    EXPECT_LE(worst(dqkv, get(c.dqkv)), tolerance());
    Case fresh = packed(lengths, 4, 2, 64);
    fresh.shape.own_kernels = true;
    run(exec_, fresh);
    EXPECT_LE(worst(out, get(fresh.out)), tolerance());
    EXPECT_LE(worst(dqkv, get(fresh.dqkv)), tolerance());
  }
}

TEST_P(AttentionDocuments, OneDocumentASequenceIsPlainAttention) {
  Case c = packed({{150}, {150}}, 4, 2, 8, 0.1);
  c.shape.own_kernels = true;
  run(exec_, c);
  const auto out = get(c.out), dqkv = get(c.dqkv);
  c.documents = {};
  run(exec_, c);
  EXPECT_EQ(out, get(c.out));
  EXPECT_EQ(dqkv, get(c.dqkv));
}

TEST_P(AttentionDocuments, ADocumentIsWhatItIsAlone) {
  const Case both = packed({{37, 41}}, 2, 1, 8);
  run(exec_, both);
  Case second = make_case(1, 41, 2, 1, 8);
  second.qkv = both.qkv.slice(0, 37, 41);
  second.dout = both.dout.slice(0, 37, 41);
  run(exec_, second);
  const TensorView out = both.out.slice(0, 37, 41), dqkv = both.dqkv.slice(0, 37, 41);
  EXPECT_LE(worst(get(second.out), get(out)), tolerance());
  EXPECT_LE(worst(get(second.dqkv), get(dqkv)), tolerance());
}

TEST_P(AttentionDocuments, SameBitsForAnyNumberOfThreads) {
  const Case c = packed({{30, 60}, {89, 1}, {90}}, 4, 2, 8, 0.1);
  expect_same_bits(c.out, [&](Exec& exec) { run(exec, c); });
  expect_same_bits(c.dqkv, [&](Exec& exec) { run(exec, c); });
}

TEST_P(AttentionDocuments, StartsOfAnotherLengthAreRefused) {
  Case c = packed({{3, 2}}, 2, 1, 8);
  c.documents.starts = put(std::vector<int32_t>{0, 0, 0, 3}, {4});
  EXPECT_THROW(run(exec_, c), Error);
}

TEST_P(AttentionDocuments, BeginBehindTheEndToken) {
  EXPECT_EQ(starts_behind({1, 2, 9, 4, 9, 9, 7, 8}, 8),
            (std::vector<int32_t>{0, 0, 0, 3, 3, 5, 6, 6}));
  // The last token of a sequence ends no document of the next.
  EXPECT_EQ(starts_behind({9, 1, 2, 9, 5, 9}, 3), (std::vector<int32_t>{0, 1, 1, 0, 1, 1}));
}

/// Across the pieces in which they are searched for.
TEST_P(AttentionDocuments, BeginAnywhereInALongSequence) {
  constexpr int64_t kSequence = 333;
  for (const uint32_t rarity : {2u, 30u, 200u, 100000u}) {
    std::mt19937 draw(rarity);
    std::vector<int32_t> tokens(3 * kSequence), expected(3 * kSequence);
    for (int32_t& token : tokens) token = draw() % rarity == 0 ? 9 : 1;
    for (size_t t = 0; t < tokens.size(); ++t) {
      const size_t place = t % kSequence;
      expected[t] = place == 0           ? 0
                    : tokens[t - 1] == 9 ? static_cast<int32_t>(place)
                                         : expected[t - 1];
    }
    EXPECT_EQ(starts_behind(tokens, kSequence), expected) << rarity;
  }
}

TEST_P(AttentionDocuments, AreListedInTheirOrder) {
  const auto listed = [&](const Lengths& lengths, int64_t most) {
    const std::vector<int32_t> starts = starts_of(lengths);
    const auto T = static_cast<int64_t>(starts.size());
    const TensorView begins = make(DType::kI32, {most + 1});
    ops::list_documents(exec_, T / static_cast<int64_t>(lengths.size()), put(starts, {T}), begins);
    return get_i32(begins);
  };
  EXPECT_EQ(listed({{3, 1, 2}, {6}}, 6), (std::vector<int32_t>{0, 3, 4, 6, 12, 12, 12}));
  EXPECT_EQ(listed({{3, 1, 2}, {6}}, 4), (std::vector<int32_t>{0, 3, 4, 6, 12}));
  EXPECT_EQ(listed({{3, 1, 2}, {6}}, 2), (std::vector<int32_t>{0, 3, 4}));
  EXPECT_EQ(listed({{64, 65, 1}, {100, 30}}, 7),
            (std::vector<int32_t>{0, 64, 129, 130, 230, 260, 260, 260}));
}

/// Angles and learned positions of a packed document are those of the document alone.
TEST_P(AttentionDocuments, RotaryPositionsRestart) {
  for (const int64_t head_dim : {6, 16}) {  // scalars, and on CUDA eight pairs at a time
    const ops::AttentionShape packed_shape{1, 15, 2, 1, head_dim}, alone{1, 9, 2, 1, head_dim};
    const TensorView qkv = random({15, 4 * head_dim}, 1), second = make(dtype(), {9, 4 * head_dim});
    context_->copy(second.ptr, qkv.slice(0, 6, 9).ptr,
                   static_cast<size_t>(second.numel() * size_of(dtype())));
    const std::vector<float> before = get(qkv);
    const TensorView starts = put(starts_of({{6, 9}}), {15});
    ops::rope(exec_, packed_shape, {}, false, qkv, starts);
    ops::rope(exec_, alone, {}, false, second);
    EXPECT_EQ(get(qkv.slice(0, 6, 9)), get(second));
    EXPECT_NE(get(qkv), before);
    ops::rope(exec_, packed_shape, {}, true, qkv, starts);
    EXPECT_LE(worst(get(qkv), before), 2 * tolerance());
  }
}

TEST_P(AttentionDocuments, LearnedPositionsRestart) {
  constexpr int64_t kWidth = 5, kRows = 12;
  const std::vector<int32_t> start = starts_of({{4, 1, 6}, {11}});
  const TensorView ids = put(std::vector<int32_t>(22, 0), {22}), starts = put(start, {22});
  const TensorView token = random({1, kWidth}, 1), position = random({kRows, kWidth}, 2);
  const TensorView out = make(dtype(), {22, kWidth}), dy = random({22, kWidth}, 3);
  ops::embedding(exec_, ids, 11, token, position, out, starts);
  Parameter::Impl token_p = parameter(token, GradMode::kOverwrite);
  Parameter::Impl position_p = parameter(position, GradMode::kAccumulate, 0.5f);
  const Parameter position_handle(&position_p);
  ops::embedding_backward(exec_, ids, 11, dy, Parameter(&token_p), &position_handle, false, starts);
  const Vector row = wide(token), table = wide(position), g = wide(dy);
  Vector expected(22 * kWidth), gradient(kRows * kWidth, 0.5);
  for (size_t t = 0; t < 22; ++t) {
    const size_t place = t % 11 - static_cast<size_t>(start[t]);
    for (size_t c = 0; c < kWidth; ++c) {
      expected[t * kWidth + c] = row[c] + table[place * kWidth + c];
      gradient[place * kWidth + c] += g[t * kWidth + c];
    }
  }
  near(out, expected);
  near(position_p.grad, gradient);
}

}  // namespace moiety
