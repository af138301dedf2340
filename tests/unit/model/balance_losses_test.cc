// The core's balancing losses in a whole decoder: gradients, and what their scopes do not depend
// on.
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/ops/sequence_balance.h"
#include "tests/unit/model/gpt_fixture.h"

namespace moiety {
namespace {

using Gradients = std::map<std::string, std::vector<float>>;

class BalanceLossesTest : public GptTest {
 protected:
  /// Two MoE layers, no loss of the gate's own, nothing dropped.
  static RunConfig two_layers() {
    RunConfig config = tiny_config();
    config.moe.layers = {0, 1};
    config.moe.num_experts = {4, 3};
    config.moe.loss_coeff = 0;
    return config;
  }
  static MoeFactory plain_gate() { return test_factory({.k = 2, .aux = false}); }

  Gradients gradients() {
    Gradients all;
    for (TableEntry& e : model_->parameters().entries()) {
      if (e.parameter.grad) all[e.name] = get(e.parameter.grad);
    }
    return all;
  }
  /// What a run of `sequences` does in `parts` micro-batches, as the trainer does it. Leaves the
  /// sums in sums_.
  Gradients accumulate(const MicroBatch& whole, int64_t parts, const RankSum* ranks = nullptr) {
    const int64_t B = whole.tokens.dim(0) / parts, S = whole.tokens.dim(1);
    BatchTotals totals;
    totals.counts = make(DType::kF32, {2});
    totals.load = make(DType::kF32, {model_->moe_layers(), model_->most_experts()});
    ops::fill(exec_, totals.counts, 0);
    ops::fill(exec_, totals.load, 0);
    totals.ranks = ranks;
    const auto part = [&](int64_t m) {
      MicroBatch batch = whole;
      batch.tokens = whole.tokens.slice(0, m * B, B);
      batch.targets = whole.targets.slice(0, m * B, B);
      if (whole.token_mask) batch.token_mask = whole.token_mask.slice(0, m * B, B);
      const TensorView rows = on_device(RowMap{m * B * S});
      batch.rows = static_cast<const RowMap*>(rows.ptr);
      batch.totals = &totals;
      return batch;
    };
    clear_sums();
    for (int64_t m = 0; m < parts; ++m) {
      const MicroBatch batch = part(m);
      ConstTensorView mask;
      if (batch.token_mask) mask = batch.token_mask.reshape({B * S});
      ops::count_sequences(exec_, mask, B, S, totals.tokens(), totals.sequences());
      if (m > 0 && model_->needs_load()) model_->count_load(exec_, batch);
    }
    if (ranks != nullptr) ranks->sum(exec_, totals.counts);
    for (int64_t m = 0; m < parts; ++m) {
      model_->parameters().set_grad_mode(m == 0 ? GradMode::kOverwrite : GradMode::kAccumulate);
      model_->forward_backward(exec_, part(m), objective_, parts, sums_);
    }
    load_ = get(totals.load);
    return gradients();
  }
  static double furthest(const Gradients& a, const Gradients& b) {
    double most = 0;
    for (const auto& [name, values] : a) most = std::max(most, worst(b.at(name), values));
    return most;
  }
  double raw_losses() { return sum(sums_.balance_sequence) + sum(sums_.balance_global); }

  std::vector<float> load_;
};

TEST_P(BalanceLossesTest, GradientsOfEachAlone) {
  double BalanceLosses::*const all[] = {&BalanceLosses::micro_batch,  &BalanceLosses::sequence,
                                        &BalanceLosses::global_batch, &BalanceLosses::model,
                                        &BalanceLosses::importance,   &BalanceLosses::load};
  for (double BalanceLosses::*const one : all) {
    RunConfig config = two_layers();
    config.moe.num_experts = {4, 4};
    config.moe.balance_losses.*one = 0.3;
    config.moe.load_loss_noise = 0.5;
    build(config, plain_gate());
    check_gradients();
    ASSERT_GT(total() - sum(sums_.loss), 1e-4) << "the loss is not on";
  }
}

TEST_P(BalanceLossesTest, GradientsOfAllAtOnceThroughTheGatesScores) {
  RunConfig config = two_layers();
  config.moe.num_experts = {4, 4};
  config.moe.balance_losses = {0.1, 0.2, 0.3, 0.1, 0.2, 0.1};
  config.moe.balance_scope = BalanceScope::kSequence;
  config.moe.balance_loss_coeff = 0.1;
  config.moe.z_loss_coeff = 0.01;
  build(config, test_factory({.k = 2, .capacity = 9, .scores = true}));
  check_gradients();
}

TEST_P(BalanceLossesTest, SequenceAndGlobalBatchDoNotChangeWithTheCut) {
  RunConfig config = two_layers();
  config.model.dropout = 0.1;
  config.moe.balance_losses.sequence = 0.5;
  config.moe.balance_losses.global_batch = 0.5;
  build(config, plain_gate());
  const Gradients whole = accumulate(batch(), 1);
  const double losses = raw_losses(), all = total();
  EXPECT_GT(losses, 1);
  for (const int64_t parts : {2, 4}) {
    const Gradients cut = accumulate(batch(), parts);
    EXPECT_LT(furthest(whole, cut), 2e-6) << parts << " parts";
    EXPECT_NEAR(raw_losses(), losses, 1e-5) << parts << " parts";
    EXPECT_NEAR(total(), all, 1e-5) << parts << " parts";
  }
  model_->parameters().set_grad_mode(GradMode::kOverwrite);
  step();  // without totals: the micro-batch is the batch
  EXPECT_LT(furthest(whole, gradients()), 1e-6);
}

/// The other side of the test above: it would see a loss that does change.
TEST_P(BalanceLossesTest, MicroBatchChangesWithTheCut) {
  RunConfig config = two_layers();
  config.moe.balance_losses.micro_batch = 0.5;
  build(config, plain_gate());
  const Gradients whole = accumulate(batch(), 1);
  EXPECT_GT(furthest(whole, accumulate(batch(), 4)), 1e-4);
}

TEST_P(BalanceLossesTest, TheCountedLoadIsThatOfTheStep) {
  RunConfig config = two_layers();
  config.moe.num_experts = {4, 4};
  config.model.dropout = 0.2;
  config.moe.balance_losses.global_batch = 0.5;
  build(config, test_factory({.k = 2, .capacity = 5, .aux = false, .jitter = 0.1}));
  accumulate(batch(), 4);
  EXPECT_EQ(load_, get(sums_.chosen));
  EXPECT_GT(sum(sums_.dropped), 0);
}

TEST_P(BalanceLossesTest, PaddingChangesNothing) {
  RunConfig config = two_layers();
  config.moe.balance_losses.sequence = 0.5;
  config.moe.balance_losses.global_batch = 0.5;
  build(config, plain_gate());
  // Three sequences of four tokens.
  constexpr int64_t kCount = 3, kLength = 4;
  std::vector<int32_t> tokens(kCount * kLength), targets(kCount * kLength);
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int32_t>((7 * i + 3) % 24), targets[i] = static_cast<int32_t>(i % 24);
  }
  MicroBatch plain;
  plain.tokens = put(tokens, {kCount, kLength}), plain.targets = put(targets, {kCount, kLength});
  plain.denominator = put(std::vector<float>{kCount * kLength}, DType::kF32, {1});
  const Gradients expected = accumulate(plain, 1);
  const double losses = raw_losses();

  // The same padded to six tokens, and a fourth sequence of nothing but padding.
  std::vector<int32_t> long_tokens(kBatch * kSequence, 5), long_targets(kBatch * kSequence, -1);
  std::vector<uint8_t> mask(kBatch * kSequence, 0);
  for (size_t b = 0; b < kCount; ++b) {
    for (size_t s = 0; s < kLength; ++s) {
      long_tokens[b * kSequence + s] = tokens[b * kLength + s];
      long_targets[b * kSequence + s] = targets[b * kLength + s];
      mask[b * kSequence + s] = 1;
    }
  }
  MicroBatch padded = plain;
  padded.tokens = put(long_tokens, {kBatch, kSequence});
  padded.targets = put(long_targets, {kBatch, kSequence});
  padded.token_mask = put(mask, {kBatch, kSequence});
  for (const int64_t parts : {1, 2, 4}) {
    EXPECT_LT(furthest(expected, accumulate(padded, parts)), 2e-6) << parts << " parts";
    EXPECT_NEAR(raw_losses(), losses, 1e-5) << parts << " parts";
  }
}

/// Adds what another rank has counted; its numbers were recorded before.
class OtherRank final : public RankSum {
 public:
  OtherRank(TensorView counts, TensorView load) : counts_(counts), load_(load) {}
  void sum(Exec& exec, TensorView values) const override {
    ops::add(exec, values, values.numel() == 2 ? counts_ : load_, values);
  }

 private:
  TensorView counts_, load_;
};

TEST_P(BalanceLossesTest, TwoRanksAddUpToOne) {
  RunConfig config = two_layers();
  config.moe.balance_losses.sequence = 0.5;
  config.moe.balance_losses.global_batch = 0.5;
  build(config, plain_gate());
  const Gradients whole = accumulate(batch(), 2);
  const double losses = raw_losses();
  const int64_t Lm = model_->moe_layers(), E = model_->most_experts();
  const TensorView counts =
      put(std::vector<float>{kBatch * kSequence / 2, kBatch / 2}, DType::kF32, {2});
  std::vector<std::vector<float>> loads;
  for (int64_t rank = 0; rank < 2; ++rank) {
    accumulate(batch(rank * kBatch / 2, kBatch / 2), 2);
    loads.push_back(load_);
  }
  Gradients sums;
  double both = 0;
  for (int64_t rank = 0; rank < 2; ++rank) {
    const OtherRank other(counts, put(loads[static_cast<size_t>(1 - rank)], DType::kF32, {Lm, E}));
    for (const auto& [name, g] : accumulate(batch(rank * kBatch / 2, kBatch / 2), 2, &other)) {
      std::vector<float>& all = sums[name];
      all.resize(g.size());
      for (size_t i = 0; i < g.size(); ++i) all[i] += g[i];
    }
    both += raw_losses();
  }
  EXPECT_LT(furthest(whole, sums), 2e-6);
  EXPECT_NEAR(both, losses, 1e-5);
}

/// Every token to experts 0 and 1, whatever its scores. CPU only.
class FixedChoice final : public TestGate {
 public:
  using TestGate::TestGate;
  void forward(Exec& exec, const GatingInputs& in, const Params& params, const RoutingPlan& plan,
               Saved& saved) const override {
    TestGate::forward(exec, in, params, plan, saved);
    for (int64_t i = 0; i < plan.index.numel(); ++i) {
      plan.index.data<int32_t>()[i] = static_cast<int32_t>(i % 2);
    }
  }
};

/// DeepSeek-V3, eq. 18: the K best scores, not the choices that a bias moved.
TEST_P(BalanceLossesTest, TheSequenceLossCountsTheBestScores) {
  if (GetParam().device == DeviceType::kCuda) GTEST_SKIP() << "the gate writes on the host";
  RunConfig config = two_layers();
  config.moe.balance_losses.sequence = 0.5;
  const TestGateForm form{.k = 2, .aux = false, .scores = true};
  build(config, test_factory(form));
  step();
  const std::vector<float> loss = get(sums_.balance_sequence), chosen = get(sums_.chosen);
  MoeFactory fixed = test_factory(form);
  fixed.gate = [form](const ModelDims& d) { return std::make_shared<FixedChoice>(form, d); };
  build(config, fixed);
  step();
  EXPECT_NE(get(sums_.chosen)[0], chosen[0]);
  EXPECT_EQ(get(sums_.balance_sequence)[0], loss[0]);  // of the first layer
}

TEST_P(BalanceLossesTest, RefusesAPartWithoutTheTotals) {
  RunConfig config = two_layers();
  config.moe.balance_losses.sequence = 0.5;
  build(config, plain_gate());
  EXPECT_THROW(model_->forward_backward(exec_, batch(0, 2), objective_, 2, sums_), Error);
}

INSTANTIATE_TEST_SUITE_P(Devices, BalanceLossesTest, kF32Devices, case_name);

}  // namespace
}  // namespace moiety
