// First weights from another model's checkpoint: fewer layers, experts out of dense layers.
#include "core/checkpoint/upcycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tests/families/family_test.h"

namespace moiety {
namespace {

constexpr const char* kDense =
    "model:\n  layers: 3\n  hidden: 16\n  heads: 2\n  ffn_hidden: 24\n  vocab_size: 30\n"
    "  sequence_length: 8\n  init_std: 0.3\n  activation: swiglu\n  bias: false\n"
    "train_batch_size: 1\ndata:\n  type: synthetic\n";

/// Experts of `width`, `k` of `experts` a token, the weights a softmax over the chosen.
std::string moe_yaml(int64_t experts, int64_t k, int64_t width) {
  return fmt::format(
      "moe:\n  num_experts: {}\n  expert_interval: 1\n  hidden: {}\n  drop_tokens: false\n"
      "  k: {}\n  gate: {{type: softmax_topk}}\n  expert: {{type: swiglu}}\n",
      experts, width, k);
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return largest;
}

class InitFromTest : public FamilyTest {
 protected:
  InitFromTest() : dense_config_(parse(kDense)), dense_(build(dense_config_)) {
    save(dense_config_, *dense_, folder_ / "dense.h5");
    dense_logits_ = logits(dense_config_, *dense_);
  }
  std::string from(const std::string& file) {
    return "model.init_from.checkpoint=" + (folder_ / file).string();
  }
  /// The largest difference of the logits from the dense model's.
  double difference(const RunConfig& config) {
    const std::unique_ptr<Model> model = build(config);
    return largest_difference(logits(config, *model), dense_logits_);
  }
  std::string error(const RunConfig& config) {
    return error_of([&] { build(config); });
  }

  RunConfig dense_config_;
  std::unique_ptr<Model> dense_;
  std::vector<float> dense_logits_;
};

TEST_F(InitFromTest, CopiesReproduceTheDenseModel) {
  const RunConfig config =
      parse(kDense + moe_yaml(4, 2, 24), {from("dense.h5"), "model.init_from.upcycle=true"});
  EXPECT_LT(difference(config), 2e-5);
  // Another router is no less right, and without the checkpoint nothing agrees.
  EXPECT_LT(difference(parse(kDense + moe_yaml(4, 2, 24),
                             {from("dense.h5"), "model.init_from.upcycle=true", "run.seed=5"})),
            2e-5);
  EXPECT_GT(difference(parse(kDense + moe_yaml(4, 2, 24))), 0.1);
}

TEST_F(InitFromTest, SlicesReproduceTheDenseModel) {
  for (const int64_t k : {3, 6}) {  // one whole copy, and two of them
    const RunConfig config =
        parse(kDense + moe_yaml(9, k, 8), {from("dense.h5"), "model.init_from.upcycle=true"});
    EXPECT_LT(difference(config), 5e-5) << k;
  }
  // Four choices leave one copy incomplete.
  EXPECT_GT(difference(parse(kDense + moe_yaml(9, 4, 8),
                             {from("dense.h5"), "model.init_from.upcycle=true"})),
            1e-3);
}

TEST_F(InitFromTest, PlainExpertsWithBiases) {
  const std::string dense =
      "model:\n  layers: 2\n  hidden: 16\n  heads: 2\n  ffn_hidden: 24\n  vocab_size: 30\n"
      "  sequence_length: 8\n  init_std: 0.3\n"
      "train_batch_size: 1\ndata:\n  type: synthetic\n";
  const RunConfig source = parse(dense);
  const std::unique_ptr<Model> model = build(source);
  for (TableEntry& entry : model->parameters().entries()) {  // no bias stays 0
    std::vector<float> values = model->parameters().read(entry);
    for (size_t i = 0; i < values.size(); ++i) values[i] += 0.01f * static_cast<float>(i % 7);
    model->parameters().write(entry, values);
  }
  save(source, *model, folder_ / "plain.h5");
  const std::string moe =
      "moe:\n  num_experts: 4\n  expert_interval: 2\n  hidden: 12\n  drop_tokens: false\n"
      "  k: 2\n  gate: {type: topk}\n";
  const RunConfig config = parse(dense + moe, {from("plain.h5"), "model.init_from.upcycle=true"});
  const std::unique_ptr<Model> upcycled = build(config);
  EXPECT_LT(largest_difference(logits(config, *upcycled), logits(source, *model)), 5e-5);
}

TEST_F(InitFromTest, AResidualBranchStartsAsTheDenseLayer) {
  const RunConfig config = parse(kDense + moe_yaml(4, 2, 24) + "  use_residual: true\n",
                                 {from("dense.h5"), "model.init_from.upcycle=true"});
  EXPECT_LT(difference(config), 5e-5);
}

TEST_F(InitFromTest, ASharedExpertStartsWithNothingToAdd) {
  const RunConfig config = parse(kDense + moe_yaml(4, 2, 24) + "  shared_expert: {hidden: 10}\n",
                                 {from("dense.h5"), "model.init_from.upcycle=true"});
  EXPECT_LT(difference(config), 2e-5);
  const std::unique_ptr<Model> model = build(config);
  const TableEntry* w_in = model->parameters().find("layers.1.moe.dense.w_in");
  for (const float x : model->parameters().read(*w_in)) EXPECT_NE(x, 0);
}

TEST_F(InitFromTest, NoiseTellsTheExpertsApart) {
  const auto w_in = [&](const std::vector<std::string>& overrides) {
    std::vector<std::string> all = {from("dense.h5"), "model.init_from.upcycle=true"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    const std::unique_ptr<Model> model = build(parse(kDense + moe_yaml(2, 1, 24), all));
    const TableEntry* entry = model->parameters().find("layers.1.moe.experts.w_in");
    return model->parameters().read(*entry);
  };
  const std::vector<float> exact = w_in({}), noisy = w_in({"model.init_from.noise=0.1"});
  const size_t half = exact.size() / 2;
  EXPECT_TRUE(std::equal(exact.begin(), exact.begin() + static_cast<int64_t>(half),
                         exact.begin() + static_cast<int64_t>(half)));
  double square = 0, mean = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double d = static_cast<double>(noisy[i]) - static_cast<double>(exact[i]);
    square += d * d, mean += d;
    if (i >= half) continue;
    EXPECT_NE(noisy[i], noisy[i + half]);
  }
  const double n = static_cast<double>(exact.size());
  EXPECT_NEAR(std::sqrt(square / n), 0.1 * 0.3, 0.003);  // init_std is 0.3
  EXPECT_NEAR(mean / n, 0, 0.003);
  EXPECT_EQ(w_in({"model.init_from.noise=0.1"}), noisy);
  EXPECT_NE(w_in({"model.init_from.noise=0.1", "run.seed=9"}), noisy);
}

TEST_F(InitFromTest, LayersByNumber) {
  const RunConfig config =
      parse(kDense, {from("dense.h5"), "model.layers=2", "model.init_from.layers=[2, 0]"});
  const std::unique_ptr<Model> student = build(config);
  const auto values = [](Model& model, const std::string& name) {
    TableEntry* entry = model.parameters().find(name);
    return model.parameters().read(*entry);
  };
  for (const char* part : {"attention.qkv.weight", "ffn.w_in", "attention_norm.weight"}) {
    EXPECT_EQ(values(*student, std::string("layers.0.") + part),
              values(*dense_, std::string("layers.2.") + part));
    EXPECT_EQ(values(*student, std::string("layers.1.") + part),
              values(*dense_, std::string("layers.0.") + part));
  }
  EXPECT_EQ(values(*student, "embedding.token"), values(*dense_, "embedding.token"));
}

TEST_F(InitFromTest, AStudentOfExpertsOfMoreLayersThanItsTeacher) {
  const RunConfig teacher = parse(kDense + moe_yaml(4, 2, 24));
  const std::unique_ptr<Model> model = build(teacher);
  save(teacher, *model, folder_ / "teacher.h5");
  const RunConfig config =
      parse(kDense + moe_yaml(4, 2, 24),
            {from("teacher.h5"), "model.layers=5", "model.init_from.layers=[0, 0, 1, 2, 2]"});
  const std::unique_ptr<Model> student = build(config);
  EXPECT_EQ(student->parameters().read(
                student->parameters().find("layers.4.moe.experts.w_out")->authoritative()),
            model->parameters().read(
                model->parameters().find("layers.2.moe.experts.w_out")->authoritative()));
}

TEST_F(InitFromTest, AScalarIsTheCheckpoint) {
  const RunConfig config =
      parse(kDense, {"model.init_from=" + (folder_ / "dense.h5").string(), "run.seed=77"});
  EXPECT_EQ(difference(config), 0);
}

TEST_F(InitFromTest, WhatDoesNotFitIsAnError) {
  const auto message = [&](const std::string& yaml, std::vector<std::string> overrides) {
    overrides.push_back(from("dense.h5"));
    return error(parse(yaml, std::move(overrides)));
  };
  const std::string plain = message(kDense + moe_yaml(4, 2, 24), {});
  EXPECT_NE(plain.find("missing in the file: /parameters/layers.0.moe.experts.w_in/expert_00000"),
            std::string::npos)
      << plain;
  const std::string fewer = message(kDense, {"model.layers=2"});
  EXPECT_NE(fewer.find("unknown to the model: /parameters/layers.2."), std::string::npos) << fewer;
  const std::string past = message(kDense, {"model.layers=1", "model.init_from.layers=[3]"});
  EXPECT_NE(past.find("missing in the file: /parameters/layers.3."), std::string::npos) << past;
  const std::string upcycle = "model.init_from.upcycle=true";
  const std::string width = message(kDense + moe_yaml(4, 2, 7), {upcycle});
  EXPECT_NE(width.find("24 wide, which experts 7 wide do not divide"), std::string::npos) << width;
  const std::string number = message(kDense + moe_yaml(4, 2, 8), {upcycle});
  EXPECT_NE(number.find("becomes 3 slices, which 4 experts cannot hold evenly"), std::string::npos)
      << number;
  const std::string function =
      message(kDense + moe_yaml(4, 2, 24), {upcycle, "moe.expert.type=ffn"});
  EXPECT_NE(function.find("layers.0.ffn.b_in"), std::string::npos) << function;
}

TEST(Upcycling, RouterColumnsOfACopyAreEqual) {
  const Upcycling u{.experts = 6, .dense_hidden = 8, .hidden = 4};
  const std::vector<float> grouped = grouped_router(u, {0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15});
  EXPECT_EQ(grouped, (std::vector<float>{0, 0, 2, 2, 4, 4, 10, 10, 12, 12, 14, 14}));
}

TEST(Upcycling, SlicesOfEachTensor) {
  const Upcycling u{.experts = 4, .dense_hidden = 4, .hidden = 2};
  EXPECT_EQ(upcycled(u, "w_in", {0, 1, 2, 3, 10, 11, 12, 13}, 1),
            (std::vector<float>{0, 1, 10, 11, 2, 3, 12, 13, 0, 1, 10, 11, 2, 3, 12, 13}));
  EXPECT_EQ(upcycled(u, "b_in", {5, 6, 7, 8}, 1), (std::vector<float>{5, 6, 7, 8, 5, 6, 7, 8}));
  EXPECT_EQ(upcycled(u, "w_out", {0, 1, 2, 3, 4, 5, 6, 7}, 1),
            (std::vector<float>{0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14}));
  EXPECT_EQ(upcycled(u, "b_out", {1, 2}, 1), (std::vector<float>{1, 2, 1, 2, 1, 2, 1, 2}));
  EXPECT_THROW(upcycled(u, "w_other", {1, 2}, 1), Error);
}

}  // namespace
}  // namespace moiety
