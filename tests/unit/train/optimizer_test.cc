// The rules of the optimizer plugins against plain double-precision loops.
#include <moiety/adam.cuh>

#include "tests/unit/device_test.h"

namespace moiety {
namespace {

class Adam final : public MultiTensorOptimizer<AdamRule> {
 public:
  explicit Adam(const AdamRule& rule) : MultiTensorOptimizer(rule, {"mean", "variance"}) {}
};

class OptimizerRules : public DeviceTest {
 protected:
  ParamSlice slice(const std::vector<float>& weights) {
    const auto n = static_cast<int64_t>(weights.size());
    ParamSlice p;
    p.info.name = std::string("weights");
    p.value = put(weights, dtype(), {n});
    if (dtype() != DType::kF32) p.master = put(weights, DType::kF32, {n});
    gradient_ = make(DType::kF32, {n});
    p.grad = gradient_;
    for (int k = 0; k < 2; ++k) {
      p.state.push_back(put(std::vector<float>(weights.size()), DType::kF32, {n}));
    }
    return p;
  }
  TensorView gradient_;
};

struct Reference {
  double w, mean = 0, variance = 0;
  void update(const AdamRule& r, double g, double lr, int t) {
    if (!r.decoupled) g += r.weight_decay * w;
    if (r.decoupled) w -= lr * r.weight_decay * w;
    mean = r.beta1 * mean + (1 - r.beta1) * g;
    variance = r.beta2 * variance + (1 - r.beta2) * g * g;
    const double m_hat = mean / (1 - std::pow(r.beta1, t));
    w -= lr * m_hat / (std::sqrt(variance / (1 - std::pow(r.beta2, t))) + r.eps);
  }
};

TEST_P(OptimizerRules, AdamFollowsItsDefinitionAndSkipsWhenTold) {
  for (const bool decoupled : {true, false}) {
    const AdamRule rule{0.9, 0.95, 1e-8, 0.1, decoupled};
    constexpr size_t kSize = 40000;  // more than two chunks
    const std::vector<float> start = normal(kSize, 1);
    ParamSlice p = slice(start);
    std::vector<Reference> reference;
    for (const float w : start) reference.push_back({static_cast<double>(w)});
    Adam adam(rule);
    adam.bind(exec_, std::span(&p, 1));
    for (int t = 1; t <= 10; ++t) {
      const std::vector<float> g = normal(kSize, 100 + static_cast<uint32_t>(t));
      upload(gradient_, g.data(), g.size() * 4);
      StepState step;
      step.update = t, step.lr = 0.01f, step.grad_factor = 0.5f, step.skip = 1;
      set_step(step);
      adam.step(exec_);  // an overflow: nothing moves
      step.skip = 0;
      set_step(step);
      adam.step(exec_);
      for (size_t i = 0; i < kSize; ++i) {
        reference[i].update(rule, 0.5 * static_cast<double>(g[i]), 0.01, t);
      }
    }
    std::vector<float> expected;
    for (const Reference& r : reference) expected.push_back(static_cast<float>(r.w));
    EXPECT_LT(worst(get(p.master ? p.master : p.value), expected), 3e-6);
    if (p.master) {  // the value is the rounded master
      std::vector<float> rounded = get(p.master);
      for (float& x : rounded) {
        x = dtype() == DType::kBF16 ? static_cast<float>(value_of_master<BFloat16>(x))
                                    : static_cast<float>(value_of_master<Float16>(x));
      }
      EXPECT_EQ(get(p.value), rounded);
    }
  }
}

TEST_P(OptimizerRules, RefusesALowPrecisionValueWithoutMaster) {
  if (dtype() == DType::kF32) GTEST_SKIP() << "f32 values need no master";
  ParamSlice p = slice({1, 2, 3});
  p.master = {};
  Adam adam(AdamRule{});
  EXPECT_THROW(adam.bind(exec_, std::span(&p, 1)), Error);
}

INSTANTIATE_TEST_SUITE_P(Devices, OptimizerRules,
                         testing::Values(DeviceCase{DeviceType::kCpu, DType::kF32},
                                         DeviceCase{DeviceType::kCpu, DType::kF16},
                                         DeviceCase{DeviceType::kCpu, DType::kBF16}),
                         case_name);

}  // namespace
}  // namespace moiety
