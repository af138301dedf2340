// Gradients of the classifier of images, for its shapes; what it refuses.
#include "core/model/classifier.h"

#include "tests/unit/device_test.h"
#include "tests/unit/model/gradient_check.h"
#include "tests/unit/model/test_components.h"

namespace moiety {
namespace {

/// Cross-entropy by the SDK's op.
class LabelLoss final : public Objective {
 public:
  void evaluate(Exec& exec, const ObjectiveInputs& in, TensorView row_loss, TensorView grad,
                TensorView) const override {
    ops::cross_entropy(exec, in, row_loss, grad);
  }
};

/// Twice the experts in the last MoE layer.
class GrowingFeedForward final : public FeedForward {
 public:
  using FeedForward::FeedForward;
  LayerShape layer_shape(int64_t, int64_t, const LayerShape& requested) const override {
    LayerShape shape = requested;
    if (requested.moe_layer + 1 == requested.moe_layers) shape.experts *= 2;
    return shape;
  }
};

class ClassifierTest : public DeviceTest {
 protected:
  static constexpr int64_t kImages = 6, kClasses = 5;

  static RunConfig small_config() {
    RunConfig config;
    config.model.type = "classifier";
    config.model.image = {3, 16, 18};
    config.model.convolutions = {4, 5};
    config.model.dense = {9, 7};
    config.model.vocab_size = kClasses, config.model.sequence_length = 1;
    config.model.layers = 2, config.model.init_std = 0.3;
    config.moe.enabled = true;
    config.moe.layers = {1};
    config.moe.num_experts = {4};
    config.moe.hidden = 8;
    config.moe.loss_coeff = 0.05;
    return config;
  }

  template <class Expert = FeedForward>
  void build(const RunConfig& config) {
    config_ = config;
    const MoeFactory factory{
        [](const ModelDims& d) { return std::make_shared<TestGate>(TestGateForm{}, d); },
        [](const ModelDims& d) { return std::make_shared<Expert>(FeedForward::Form{}, d); }};
    model_ = std::make_unique<Classifier>(config_, factory, *context_);
    const std::vector<int64_t>& s = config.model.image;
    std::vector<uint8_t> bytes(static_cast<size_t>(kImages * s[0] * s[1] * s[2]));
    std::mt19937 random(4);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
    const TensorView image = make(DType::kU8, {kImages, s[0], s[1], s[2]});
    context_->copy(image.ptr, bytes.data(), bytes.size());
    context_->synchronize();
    batch_.image = image;
    batch_.targets = put(std::vector<int32_t>{0, 4, -1, 2, 1, 3}, {kImages, 1});
    batch_.denominator = put(std::vector<float>{kImages - 1}, DType::kF32, {1});
    const int64_t Lm = model_->moe_layers(), E = model_->most_experts();
    sums_ = {};
    sums_.loss = make(DType::kF32, {1});
    if (Lm == 0) return;
    sums_.aux = make(DType::kF32, {Lm}), sums_.balance = make(DType::kF32, {Lm});
    sums_.importance = make(DType::kF32, {Lm}), sums_.load = make(DType::kF32, {Lm});
    sums_.z = make(DType::kF32, {Lm}), sums_.entropy = make(DType::kF32, {Lm});
    sums_.tokens = make(DType::kF32, {Lm});
    sums_.chosen = make(DType::kF32, {Lm, E}), sums_.dropped = make(DType::kF32, {Lm, E});
    sums_.probability = make(DType::kF32, {Lm, E});
  }

  double step() {
    for (const TensorView& t :
         {sums_.loss, sums_.aux, sums_.balance, sums_.importance, sums_.load, sums_.z,
          sums_.entropy, sums_.tokens, sums_.chosen, sums_.dropped, sums_.probability}) {
      if (t) ops::fill(exec_, t, 0);
    }
    model_->forward_backward(exec_, batch_, objective_, 1, sums_);
    double loss = static_cast<double>(get(sums_.loss)[0]);
    if (!sums_.aux) return loss;
    const BalanceLosses c = balance_losses_of(config_.moe);
    const auto add = [&](double weight, const TensorView& raw) {
      loss += weight * static_cast<double>(get(raw)[0]);
    };
    add(config_.moe.loss_coeff, sums_.aux), add(config_.moe.z_loss_coeff, sums_.z);
    add(c.micro_batch, sums_.balance), add(c.importance, sums_.importance), add(c.load, sums_.load);
    return loss;
  }

  void check_gradients() {
    ParameterTable& table = model_->parameters();
    for (TableEntry& e : table.entries()) {
      if (e.buffer || e.parameter.spec.init != Init::kZeros) continue;
      table.write(e, normal(static_cast<size_t>(e.parameter.value.numel()), 3, 0.2f));
    }
    step();
    std::vector<std::pair<TableEntry*, std::vector<float>>> gradients;
    for (TableEntry& e : table.entries()) {
      if (e.parameter.grad) gradients.emplace_back(&e, get(e.parameter.grad));
    }
    for (const auto& [entry, gradient] : gradients) {
      TableEntry* e = entry;
      const Differentiable f{
          [&](const auto& v) { table.write(*e, v); }, [&] { return step(); },
          [&] { return sums_.chosen ? get(sums_.chosen) : std::vector<float>{}; }};
      check_gradient(e->name, table.read(e->parameter.value), gradient, f, 1e-3, 2e-2);
    }
  }

  RunConfig config_;
  std::unique_ptr<Classifier> model_;
  LabelLoss objective_;
  MicroBatch batch_;
  StepSums sums_;
};
INSTANTIATE_TEST_SUITE_P(Devices, ClassifierTest, kF32Devices, case_name);

TEST_P(ClassifierTest, ConvolutionsDenseLayersAndExperts) {
  build(small_config());
  EXPECT_EQ(model_->moe_layer_numbers(), std::vector<int64_t>{1});
  check_gradients();
}

TEST_P(ClassifierTest, AllItsBalancingLossesHaveGradients) {
  RunConfig config = small_config();
  config.moe.z_loss_coeff = 0.02, config.moe.balance_loss_coeff = 0.1;
  config.moe.balance_losses.micro_batch = 0.3;
  config.moe.balance_losses.importance = 0.4, config.moe.balance_losses.load = 0.5;
  config.moe.load_loss_noise = 0.5;
  build(config);
  check_gradients();
  EXPECT_GT(get(sums_.importance)[0], 0);
  EXPECT_GT(get(sums_.load)[0], 0);
}

TEST_P(ClassifierTest, AnExpertTypeKnowsWhichMoeLayerItShapes) {
  RunConfig config = small_config();
  config.moe.layers = {0, 1};
  config.moe.num_experts = {4, 4};
  build<GrowingFeedForward>(config);
  EXPECT_EQ(model_->experts_of_layers(), (std::vector<int64_t>{4, 8}));
  step();
}

TEST_P(ClassifierTest, LinearWithoutHiddenLayers) {
  RunConfig config = small_config();
  config.model.convolutions = {}, config.model.dense = {};
  config.moe.enabled = false;
  build(config);
  EXPECT_EQ(model_->parameters().total(), (3 * 16 * 18 + 1) * kClasses);
  EXPECT_EQ(model_->moe_layers(), 0);
  check_gradients();
}

TEST_P(ClassifierTest, MultiLayerPerceptron) {
  RunConfig config = small_config();
  config.model.convolutions = {};
  config.moe.enabled = false;
  build(config);
  check_gradients();
}

TEST_P(ClassifierTest, ItsFeaturesGiveTheLogitsOfItsLoss) {
  build(small_config());
  step();
  const TensorView x = model_->features(exec_, batch_, /*training=*/true);
  const TensorView logits = make(DType::kF32, {kImages, kClasses}),
                   row_loss = make(DType::kF32, {kImages});
  model_->feature_logits(exec_, x, logits);
  ObjectiveInputs in;
  in.logits = logits;
  in.targets = batch_.targets.reshape({kImages});
  ops::cross_entropy(exec_, in, row_loss, {});
  double mean = 0;
  for (const float loss : get(row_loss)) mean += static_cast<double>(loss) / (kImages - 1);
  EXPECT_NEAR(mean, static_cast<double>(get(sums_.loss)[0]), 1e-5);
}

TEST_P(ClassifierTest, RefusesImagesOfAnotherShapeAndTooManyConvolutions) {
  build(small_config());
  MicroBatch other = batch_;
  other.image = make(DType::kU8, {kImages, 3, 18, 16});
  EXPECT_THROW(model_->evaluate(exec_, other, objective_, sums_), Error);
  RunConfig deep = small_config();
  deep.model.convolutions = {4, 4, 4};
  EXPECT_THROW(build(deep), ConfigError);
}

}  // namespace
}  // namespace moiety
