// Batches: order, resume, prefetching, denominators, refusals.
#include "core/train/batch_loader.h"

#include <gtest/gtest.h>

#include <map>

namespace moiety {
namespace {

/// Sample i is i, i + 1, ...; targets below zero where `holes` says.
class Counting final : public DataSource {
 public:
  Counting(int64_t size, int64_t length, bool holes = false, int64_t fail_at = -1)
      : size_(size), length_(length), holes_(holes), fail_at_(fail_at) {}
  int64_t size(Split) const override { return size_; }
  std::vector<Field> fields() const override {
    return {{"targets", DType::kI32, {length_}, 256}, {"tokens", DType::kI32, {length_}, 256}};
  }
  void fill(Split, int64_t sample, std::span<const TensorView> rows) const override {
    if (sample == fail_at_) throw Error("the disk is on fire");
    for (int64_t t = 0; t < length_; ++t) {
      rows[1].data<int32_t>()[t] = static_cast<int32_t>(sample + t);
      rows[0].data<int32_t>()[t] = holes_ && sample % 2 == 0 ? -1 : static_cast<int32_t>(sample);
    }
  }

 private:
  int64_t size_, length_;
  bool holes_;
  int64_t fail_at_;
};

struct Reader {
  Reader(const DataSource& source, const BatchShape& shape, const BatchLoader::Options& options)
      : layout(shape, source, 256),
        memory(Device{}, layout.bytes()),
        loader(source, layout, options) {}
  std::vector<int32_t> batch() {
    loader.next(context, memory.data());
    std::vector<int32_t> first_tokens;
    for (int64_t m = 0; m < layout.shape().micro_batches; ++m) {
      const MicroBatch view = layout.view(memory.data(), m, {});
      for (int64_t b = 0; b < layout.shape().sequences; ++b) {
        first_tokens.push_back(view.tokens.slice(0, b, 1).data<int32_t>()[0]);
      }
    }
    return first_tokens;
  }
  DeviceContext context{Device{}, 1};
  BatchLayout layout;
  Buffer memory;
  BatchLoader loader;
};

BatchLoader::Options options(int64_t cursor, bool prefetch) {
  BatchLoader::Options o;
  o.seed = 5, o.cursor = cursor, o.prefetch = prefetch;
  return o;
}

TEST(BatchLoader, SeesEverySampleOnceAnEpoch) {
  const Counting source(10, 4);
  Reader reader(source, {1, 2, 4}, options(0, true));
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::map<int32_t, int> seen;
    for (int i = 0; i < 5; ++i) {
      for (const int32_t token : reader.batch()) ++seen[token];
    }
    EXPECT_EQ(seen.size(), 10u);
  }
  EXPECT_EQ(reader.loader.cursor(), 20);
}

TEST(BatchLoader, PrefetchingAndResumingChangeNothing) {
  const Counting source(7, 4);
  Reader ahead(source, {2, 2, 4}, options(0, true)), plain(source, {2, 2, 4}, options(0, false));
  Reader resumed(source, {2, 2, 4}, options(12, true));  // in the middle of the second epoch
  for (int i = 0; i < 8; ++i) {
    const std::vector<int32_t> batch = ahead.batch();
    EXPECT_EQ(batch, plain.batch());
    if (i >= 3) {
      EXPECT_EQ(batch, resumed.batch());
    }
  }
}

TEST(BatchLoader, DenominatorsCountTargetsOfTheBatchOrOfTheMicroBatch) {
  const Counting source(2, 4, /*holes=*/true);
  for (const LossReduction reduction : {LossReduction::kTrainBatch, LossReduction::kMicroBatch}) {
    BatchLoader::Options o = options(0, false);
    o.reduction = reduction;
    Reader reader(source, {2, 1, 4}, o);
    const std::vector<int32_t> tokens = reader.batch();
    for (size_t m = 0; m < 2; ++m) {
      const float expected = reduction == LossReduction::kTrainBatch ? 4.0f
                             : tokens[m] % 2 == 0                    ? 1.0f  // no target at all
                                                                     : 8.0f;
      EXPECT_EQ(reader.layout.denominators(reader.memory.data())[m], expected);
    }
  }
}

TEST(BatchLoader, WhatTheSourceThrowsArrivesAtNext) {
  const Counting source(4, 4, false, /*fail_at=*/2);
  Reader reader(source, {1, 4, 4}, options(0, true));
  EXPECT_THROW(reader.batch(), Error);
}

TEST(BatchLayout, RowsWhoseInputEndsADocumentHaveNoLoss) {
  const Counting source(6, 4);  // sample i: tokens i, i + 1, i + 2, i + 3
  const DeviceContext context(Device{}, 1);
  const BatchLayout layout({2, 3, 4}, source, 256, /*end_of_document=*/5);
  const Buffer memory(Device{}, layout.bytes());
  BatchLoader loader(source, layout, options(0, false));
  loader.next(context, memory.data());
  int ends = 0;
  for (int64_t m = 0; m < 2; ++m) {
    const MicroBatch batch = layout.view(memory.data(), m, {});
    for (int64_t i = 0; i < 12; ++i) {
      const bool end = batch.tokens.data<int32_t>()[i] == 5;
      EXPECT_EQ(batch.loss_mask.data<float>()[i], end ? 0.0f : 1.0f);
      ends += end ? 1 : 0;
    }
    EXPECT_EQ(layout.denominators(memory.data())[m], 24.0f - 4);
  }
  EXPECT_EQ(ends, 4);  // in samples 2 to 5
}

TEST(BatchLayout, RefusesWhatAModelCannotRead) {
  const Counting source(4, 4);
  EXPECT_THROW(BatchLayout({1, 1, 8}, source, 256), ConfigError);  // another length
  EXPECT_THROW(BatchLayout({1, 1, 4}, source, 100), ConfigError);  // ids beyond the vocabulary
}

class Pictures final : public DataSource {
 public:
  int64_t size(Split) const override { return 1; }
  std::vector<Field> fields() const override {
    return {{"image", DType::kU8, {3, 8, 8}, 256}, {"label", DType::kI32, {1}, 10}};
  }
  void fill(Split, int64_t, std::span<const TensorView>) const override {}
};

std::string field_error(const std::string& model, const DataSource& source) {
  RunConfig config;
  config.model.type = model, config.data.type = "source";
  config.provenance.push_back({"data.type", "source", "run.yaml:4:9"});
  try {
    check_fields(config, source);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

TEST(CheckFields, ADecoderReadsTokensAndAClassifierImages) {
  const Counting tokens(4, 4);
  const Pictures images;
  EXPECT_EQ(field_error("gpt", tokens), "no error");
  EXPECT_EQ(field_error("classifier", images), "no error");
  EXPECT_EQ(field_error("gpt", images),
            "run.yaml:4:9: data.type: source gives images and labels, but model.type gpt reads "
            "tokens and targets; set model.type=classifier, or choose another data.type");
  EXPECT_EQ(field_error("classifier", tokens),
            "run.yaml:4:9: data.type: source gives tokens, but model.type classifier reads images "
            "and labels; set model.type=gpt, or choose another data.type");
}

}  // namespace
}  // namespace moiety
