// One MoE layer alone: gradients of every part, dense branches, plan layouts, losses, statistics.
#include "core/model/moe_layer.h"

#include <numeric>

#include "core/model/moe_parts.h"
#include "core/model/routing_tap.h"
#include "tests/unit/device_test.h"
#include "tests/unit/model/gradient_check.h"
#include "tests/unit/model/test_components.h"

namespace moiety {
namespace {

constexpr int64_t kTokens = 13, kWidth = 8, kHidden = 12, kExperts = 4;

/// A layer on random tokens, with a loss that sums its output times random numbers.
class MoeLayerTest : public DeviceTest {
 protected:
  void build(const MoeFactory& factory, const MoeConfig& config = {}) {
    MoeConfig wanted = config;
    wanted.hidden = kHidden;
    ModelDims dims;
    dims.model = kWidth, dims.layer = 3, dims.layers = 5;
    MoeDesign design = design_moe_layer(factory, wanted, dims, kExperts, /*moe_layer=*/0);
    experts_ = design.dims.experts;
    layer_ = std::make_unique<MoeLayer>(table_, "moe", design.dims, std::move(design.parts));
    table_.allocate(*context_, dtype(), true);
    table_.initialize(5, 0, 4);
    for (TableEntry& e : table_.entries()) {  // biases of 0 would hide their gradients' errors
      if (e.buffer || e.parameter.spec.init != Init::kZeros) continue;
      table_.write(e, normal(static_cast<size_t>(e.parameter.value.numel()), 3, 0.3f));
    }
    TableEntry& router = *table_.find("moe.router.weight");
    table_.write(router, normal(static_cast<size_t>(kWidth * experts_), 11));
    x_ = put(normal(kTokens * kWidth, 1), dtype(), {kTokens, kWidth});
    upstream_ = normal(kTokens * kWidth, 2);
    dout_ = put(upstream_, dtype(), {kTokens, kWidth});
    all_ = std::make_unique<AllRows>(exec_, *arena_, kTokens);
    out_ = make(dtype(), {kTokens, kWidth});
    dx_ = make(dtype(), {kTokens, kWidth});
    statistics_ = make(DType::kF32, {3 * experts_ + 5});
  }
  MoeSums sums() {
    const auto part = [&](int64_t begin, int64_t n) { return statistics_.slice(0, begin, n); };
    const int64_t E = experts_;
    MoeSums sums;
    sums.routing = {part(0, E), part(E, E), part(2 * E, E), part(3 * E, 1), part(3 * E + 1, 1)};
    sums.aux = part(3 * E + 2, 1), sums.balance = part(3 * E + 3, 1), sums.z = part(3 * E + 4, 1);
    return sums;
  }
  /// Output times upstream plus the weighted losses. Leaves the call in call_.
  double forward() {
    ops::fill(exec_, statistics_, 0);
    call_ = std::make_unique<MoeCall>(*arena_);
    MoeInput input;
    input.x = x_, input.token_mask = mask_, input.training = training_, input.all = all_.get();
    layer_->forward(exec_, input, sums(), *call_, out_);
    const std::vector<float> out = get(out_), s = get(statistics_);
    double loss = 0;
    for (size_t i = 0; i < out.size(); ++i) loss += static_cast<double>(out[i]) * upstream_[i];
    const size_t E = static_cast<size_t>(experts_);
    return loss + weights_.gate * s[3 * E + 2] + weights_.balance * s[3 * E + 3] +
           weights_.z * s[3 * E + 4];
  }
  void backward() { layer_->backward(exec_, weights_, *call_, dout_, dx_); }

  void check_gradients() {
    table_.set_grad_mode(GradMode::kOverwrite);
    forward();
    backward();
    const auto routing = [&] {
      const std::vector<int32_t> index = get_i32(call_->plan.index);
      return std::vector<float>(index.begin(), index.end());
    };
    const auto loss = [&] { return forward(); };
    const Differentiable of_x{[&](const auto& v) { upload(x_, v.data(), v.size() * 4); }, loss,
                              routing};
    check_gradient("x", get(x_), get(dx_), of_x, 3e-3, 1e-2);
    for (TableEntry& e : table_.entries()) {
      if (e.buffer) continue;
      const Differentiable f{[&](const auto& v) { table_.write(e, v); }, loss, routing};
      check_gradient(e.name, table_.read(e.parameter.value), get(e.parameter.grad), f, 3e-3, 1e-2);
    }
  }
  MoeFactory factory(const TestGateForm& form) {
    return {
        [form](const ModelDims& d) { return std::make_shared<TestGate>(form, d); },
        [](const ModelDims& d) { return std::make_shared<FeedForward>(FeedForward::Form{}, d); }};
  }

  ParameterTable table_;
  std::unique_ptr<MoeLayer> layer_;
  std::unique_ptr<AllRows> all_;
  std::unique_ptr<MoeCall> call_;
  TensorView x_, mask_, dout_, out_, dx_, statistics_;
  std::vector<float> upstream_;
  MoeLossWeights weights_{0.7, 0.6, 0.05};
  int64_t experts_ = 0;
  bool training_ = true;
};

TEST_P(MoeLayerTest, GradientsDropless) {
  build(factory({}));
  check_gradients();
}

TEST_P(MoeLayerTest, GradientsWithDrops) {
  build(factory({.k = 2, .capacity = 4}));
  check_gradients();
}

TEST_P(MoeLayerTest, GradientsOfGatedExperts) {
  MoeFactory gated = factory({});
  gated.expert = [](const ModelDims& d) {
    return std::make_shared<GatedFeedForward>(GatedFeedForward::Form{}, d);
  };
  build(gated);
  check_gradients();
}

TEST_P(MoeLayerTest, GradientsThroughTheGatesScores) {
  build(factory({.scores = true}));
  check_gradients();
}

TEST_P(MoeLayerTest, GradientsOfAGateThatReadsTheTokens) {
  build(factory({.reads_x = true}));
  check_gradients();
}

TEST_P(MoeLayerTest, GradientsWithPadding) {
  build(factory({}));
  std::vector<uint8_t> mask(kTokens, 1);
  mask[2] = mask[7] = 0;
  mask_ = put(mask, {kTokens});
  check_gradients();
  const std::vector<float> out = get(out_);
  for (size_t d = 0; d < kWidth; ++d) EXPECT_EQ(out[2 * kWidth + d], 0.f);
}

TEST_P(MoeLayerTest, GradientsWithJitter) {
  build(factory({.jitter = 0.2}));
  check_gradients();
  const std::vector<float> noisy = get(out_);
  training_ = false;
  forward();
  EXPECT_NE(get(out_), noisy);
}

TEST_P(MoeLayerTest, GradientsOfARouterInF64) {
  MoeConfig config;
  config.router.f64 = true;
  config.router.input_jitter = 0.2;  // takes the place of the gate's
  build(factory({.jitter = 0.01}), config);
  check_gradients();
  const std::vector<float> once = get(table_.find("moe.router.weight")->parameter.grad);
  table_.set_grad_mode(GradMode::kAccumulate);
  forward();
  backward();
  std::vector<float> twice = get(table_.find("moe.router.weight")->parameter.grad);
  for (float& x : twice) x /= 2;
  EXPECT_LT(worst(twice, once), 1e-6);
}

TEST_P(MoeLayerTest, AForcedRoutingIsEvenAndTeachesTheRouterNothing) {
  MoeConfig config;
  config.router.forced = ForcedRouting::kBalanced;
  build(factory({.k = 4}), config);
  forward();
  backward();
  const std::vector<float> s = get(statistics_);
  for (size_t e = 0; e < kExperts; ++e) EXPECT_EQ(s[e], kTokens);
  for (const float g : get(table_.find("moe.router.weight")->parameter.grad)) EXPECT_EQ(g, 0.f);
  layer_->end_step(exec_, put({1, 2, 3, 4}, DType::kF32, {kExperts}));
  EXPECT_EQ(get(table_.find("moe.gate.load")->parameter.value), std::vector<float>(kExperts));
}

/// Sends every first choice to expert 3 with weight 1/2.
class Tap final : public RoutingTap {
 public:
  explicit Tap(DeviceContext& context) : context_(context) {}
  void on_plan(Exec&, int64_t layer, const RoutingPlan& plan) override {
    layers.push_back(layer);
    const std::vector<int32_t> index(static_cast<size_t>(plan.index.numel()), 3);
    const std::vector<float> weight(index.size(), 0.5f);
    context_.copy(plan.index.ptr, index.data(), index.size() * 4);
    context_.copy(plan.weight.ptr, weight.data(), weight.size() * 4);
    context_.synchronize();
  }
  std::vector<int64_t> layers;

 private:
  DeviceContext& context_;
};

TEST_P(MoeLayerTest, ATapMayReplaceThePlanOfATrainingPass) {
  build(factory({.k = 1}));
  Tap tap(*context_);
  impl_.routing = &tap;
  forward();
  backward();
  EXPECT_EQ(get(statistics_)[3], kTokens);
  EXPECT_EQ(get(call_->slots.weight), std::vector<float>(kTokens, 0.5f));
  training_ = false;
  forward();
  EXPECT_LT(get(statistics_)[3], kTokens);
  EXPECT_EQ(tap.layers, std::vector<int64_t>{3});
}

TEST_P(MoeLayerTest, GradientsOfTheCoefficientBranch) {
  MoeConfig config;
  config.use_residual = true;
  build(factory({.k = 1, .capacity = 4}), config);
  ASSERT_NE(table_.find("moe.coefficient.weight"), nullptr);
  ASSERT_NE(table_.find("moe.dense.w_in"), nullptr);
  check_gradients();
}

TEST_P(MoeLayerTest, GradientsOfAnAddedBranch) {
  MoeFactory shaping = factory({});
  shaping.expert = [](const ModelDims& d) { return std::make_shared<ShapingExpert>(d); };
  build(shaping);  // layer 3 of 5: added without a gate
  EXPECT_EQ(table_.find("moe.dense.w_in")->shape, (std::vector<int64_t>{1, kWidth, 12}));
  EXPECT_EQ(table_.find("moe.experts.w_in")->shape,
            (std::vector<int64_t>{kExperts, kWidth, kHidden + 4}));
  check_gradients();
}

TEST_P(MoeLayerTest, GradientsOfExpertMajorPlans) {
  if (GetParam().device == DeviceType::kCuda) GTEST_SKIP() << "the gate writes on the host";
  MoeFactory pattern = factory({});
  pattern.gate = [](const ModelDims&) { return std::make_shared<PatternGate>(5); };
  build(pattern);
  check_gradients();
  const std::vector<float> s = get(statistics_);
  EXPECT_EQ(s[0], 4.f);  // one of the five slots is unused
}

TEST_P(MoeLayerTest, TheLoadLossIsRefusedWhereExpertsChoose) {
  if (GetParam().device == DeviceType::kCuda) GTEST_SKIP() << "the gate writes on the host";
  MoeFactory pattern = factory({});
  pattern.gate = [](const ModelDims&) { return std::make_shared<PatternGate>(5); };
  build(pattern);
  MoeSums with_load;
  with_load.load = statistics_.slice(0, 0, 1);
  call_ = std::make_unique<MoeCall>(*arena_);
  MoeInput input;
  input.x = x_, input.all = all_.get();
  try {
    layer_->forward(exec_, input, with_load, *call_, out_);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("moe.balance_losses.load needs a gate whose tokens"),
              std::string::npos)
        << e.what();
  }
}

TEST_P(MoeLayerTest, StatisticsAndLossesByHand) {
  build(factory({.k = 2, .capacity = 4}));
  forward();
  const std::vector<float> logits = [&] {
    TensorView copy = make(DType::kF32, {kTokens, kExperts});
    ops::copy(exec_, call_->gating.logits, copy);
    return get(copy);
  }();
  const std::vector<int32_t> index = get_i32(call_->plan.index);
  std::vector<double> chosen(kExperts), dropped_(kExperts), probability(kExperts);
  double entropy = 0, z = 0;
  for (const int32_t i : index) {
    chosen[static_cast<size_t>(choice(i))] += 1;
    if (i < 0) dropped_[static_cast<size_t>(choice(i))] += 1;
  }
  for (size_t t = 0; t < kTokens; ++t) {
    double sum = 0;
    for (size_t e = 0; e < kExperts; ++e) sum += std::exp(double{logits[t * kExperts + e]});
    for (size_t e = 0; e < kExperts; ++e) {
      const double p = std::exp(double{logits[t * kExperts + e]}) / sum;
      probability[e] += p, entropy -= p * std::log(p);
    }
    z += std::log(sum) * std::log(sum) / kTokens;
  }
  double balance = 0;
  const std::vector<float> s = get(statistics_);
  for (size_t e = 0; e < kExperts; ++e) {
    EXPECT_EQ(s[e], chosen[e]);
    EXPECT_EQ(s[kExperts + e], dropped_[e]);
    EXPECT_NEAR(s[2 * kExperts + e], probability[e], 1e-4);
    balance += kExperts * chosen[e] / kTokens * probability[e] / kTokens;
  }
  EXPECT_GT(std::accumulate(dropped_.begin(), dropped_.end(), 0.0), 0);
  EXPECT_NEAR(s[12], entropy, 1e-4);
  EXPECT_EQ(s[13], kTokens);
  EXPECT_NEAR(s[14], balance / 2, 1e-4);  // Switch's share is over all choices: K less
  EXPECT_NEAR(s[15], balance, 1e-4);
  EXPECT_NEAR(s[16], z, 1e-4);
}

TEST_P(MoeLayerTest, ARecomputationHasTheSameBits) {
  build(factory({.k = 2, .capacity = 4, .jitter = 0.1}));
  forward();
  backward();
  const std::vector<float> out = get(out_), dx = get(dx_);
  const std::vector<float> dw = get(table_.find("moe.experts.w_in")->parameter.grad);
  forward();
  backward();
  EXPECT_EQ(get(out_), out);
  EXPECT_EQ(get(dx_), dx);
  EXPECT_EQ(get(table_.find("moe.experts.w_in")->parameter.grad), dw);
}

TEST_P(MoeLayerTest, AccumulatedGradientsAreSums) {
  build(factory({}));
  forward();
  backward();
  const std::vector<float> once = get(table_.find("moe.router.weight")->parameter.grad);
  table_.set_grad_mode(GradMode::kAccumulate);
  forward();
  backward();
  std::vector<float> twice = get(table_.find("moe.router.weight")->parameter.grad);
  for (float& x : twice) x /= 2;
  EXPECT_LT(worst(twice, once), 1e-6);
}

TEST_P(MoeLayerTest, EvaluationHasItsOwnCapacity) {
  build(factory({.k = 2, .capacity = 4, .eval_capacity = 0}));
  training_ = false;
  forward();
  const std::vector<float> s = get(statistics_);
  for (size_t e = 0; e < kExperts; ++e) EXPECT_EQ(s[kExperts + e], 0.f);
}

TEST_P(MoeLayerTest, EndStepHandsTheLoadToTheGate) {
  build(factory({}));
  const std::vector<float> load = {1, 2, 3, 4};
  layer_->end_step(exec_, put(load, DType::kF32, {kExperts}));
  EXPECT_EQ(get(table_.find("moe.gate.load")->parameter.value), load);
}

TEST_P(MoeLayerTest, AnErrorSaysWhere) {
  build(factory({.k = 5}));
  try {
    forward();
    FAIL();
  } catch (const PluginError& e) {
    EXPECT_NE(std::string(e.what()).find("plan_shape (layer 3)"), std::string::npos) << e.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, MoeLayerTest, kF32Devices, case_name);

}  // namespace
}  // namespace moiety
