// A tiny decoder of test components, one micro-batch, and its step sums.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "core/model/gpt.h"
#include "tests/unit/device_test.h"
#include "tests/unit/model/gradient_check.h"
#include "tests/unit/model/test_components.h"

namespace moiety {

inline RunConfig tiny_config() {
  RunConfig config;
  ModelConfig& m = config.model;
  m.layers = 2, m.hidden = 16, m.heads = 4, m.kv_heads = 4, m.ffn_hidden = 20;
  m.vocab_size = 24, m.sequence_length = 6;
  m.init_std = 0.3;
  config.moe.enabled = true;
  config.moe.layers = {1};
  config.moe.num_experts = {4};
  config.moe.hidden = 12;
  config.moe.loss_coeff = 0.05;
  return config;
}

inline MoeFactory test_factory(const TestGateForm& form = {}) {
  return {[form](const ModelDims& d) { return std::make_shared<TestGate>(form, d); },
          [](const ModelDims& d) { return std::make_shared<FeedForward>(FeedForward::Form{}, d); }};
}

class GptTest : public DeviceTest {
 protected:
  static constexpr int64_t kBatch = 4, kSequence = 6;

  void build(const RunConfig& config, const MoeFactory& factory = test_factory()) {
    config_ = config;
    config_.precision = dtype() == DType::kBF16  ? Precision::kBF16
                        : dtype() == DType::kF16 ? Precision::kF16
                                                 : Precision::kF32;
    model_ = std::make_unique<Gpt>(config_, factory, *context_);
    for (TableEntry& e : model_->parameters().entries()) {  // nothing starts at 0 or 1
      if (e.buffer || e.parameter.spec.init == Init::kNormal) continue;
      std::vector<float> x = normal(static_cast<size_t>(e.parameter.value.numel()), 3, 0.2f);
      const float shift = e.parameter.spec.init == Init::kOnes ? 1.f : 0.f;
      for (float& v : x) v += shift;
      model_->parameters().write(e, x);
    }
    std::mt19937 random(4);
    std::vector<int32_t> tokens(kBatch * kSequence), targets(kBatch * kSequence);
    for (int32_t& t : tokens) t = static_cast<int32_t>(random() % 24);
    for (int32_t& t : targets) t = static_cast<int32_t>(random() % 24);
    targets[3] = -1;
    tokens_ = put(tokens, {kBatch, kSequence});
    targets_ = put(targets, {kBatch, kSequence});
    denominator_ = put(std::vector<float>{kBatch * kSequence - 1}, DType::kF32, {1});
    const int64_t Lm = model_->moe_layers(), E = model_->most_experts();
    sums_.loss = make(DType::kF32, {1});
    if (Lm == 0) return;
    sums_.aux = make(DType::kF32, {Lm}), sums_.balance = make(DType::kF32, {Lm});
    sums_.z = make(DType::kF32, {Lm}), sums_.entropy = make(DType::kF32, {Lm});
    sums_.balance_sequence = make(DType::kF32, {Lm});
    sums_.balance_global = make(DType::kF32, {Lm});
    sums_.importance = make(DType::kF32, {Lm}), sums_.load = make(DType::kF32, {Lm});
    sums_.balance_model = make(DType::kF32, {1});
    sums_.tokens = make(DType::kF32, {Lm});
    sums_.chosen = make(DType::kF32, {Lm, E}), sums_.dropped = make(DType::kF32, {Lm, E});
    sums_.probability = make(DType::kF32, {Lm, E});
  }
  void clear_sums() {
    for (const TensorView& t :
         {sums_.loss, sums_.aux, sums_.balance, sums_.z, sums_.entropy, sums_.tokens, sums_.chosen,
          sums_.dropped, sums_.probability, sums_.balance_sequence, sums_.balance_global,
          sums_.importance, sums_.load, sums_.balance_model}) {
      if (t) ops::fill(exec_, t, 0);
    }
  }
  MicroBatch batch(int64_t first = 0, int64_t count = kBatch) {
    MicroBatch batch;
    batch.tokens = tokens_.slice(0, first, count), batch.targets = targets_.slice(0, first, count);
    batch.denominator = denominator_;
    return batch;
  }
  double sum(const TensorView& t) {
    double total = 0;
    if (t) {
      for (const float x : get(t)) total += x;
    }
    return total;
  }
  /// The whole loss, as its gradient is taken.
  double total() {
    const MoeConfig& m = config_.moe;
    const BalanceLosses c = balance_losses_of(m);
    return sum(sums_.loss) + m.loss_coeff * sum(sums_.aux) + m.z_loss_coeff * sum(sums_.z) +
           c.micro_batch * sum(sums_.balance) + c.sequence * sum(sums_.balance_sequence) +
           c.global_batch * sum(sums_.balance_global) + c.model * sum(sums_.balance_model) +
           c.importance * sum(sums_.importance) + c.load * sum(sums_.load);
  }
  double step() {
    clear_sums();
    model_->forward_backward(exec_, batch(), objective_, 1, sums_);
    return total();
  }
  double evaluate() {
    clear_sums();
    model_->evaluate(exec_, batch(), objective_, sums_);
    return sum(sums_.loss);
  }
  std::vector<float> grad(const std::string& name) {
    return get(model_->parameters().find(name)->parameter.grad);
  }
  /// Which experts were chosen and dropped in the last call.
  std::vector<float> routing() {
    if (!sums_.chosen) return {};
    std::vector<float> all = get(sums_.chosen);
    const std::vector<float> dropped = get(sums_.dropped);
    all.insert(all.end(), dropped.begin(), dropped.end());
    return all;
  }
  void check_gradients() {
    ParameterTable& table = model_->parameters();
    step();
    std::vector<std::pair<TableEntry*, std::vector<float>>> gradients;
    for (TableEntry& e : table.entries()) {
      if (e.parameter.grad) gradients.emplace_back(&e, get(e.parameter.grad));
    }
    for (const auto& [entry, gradient] : gradients) {
      TableEntry* e = entry;
      const Differentiable f{[&](const auto& v) { table.write(*e, v); }, [&] { return step(); },
                             [&] { return routing(); }};
      check_gradient(e->name, table.read(e->parameter.value), gradient, f, 5e-3, 1e-2);
    }
  }

  RunConfig config_;
  std::unique_ptr<Gpt> model_;
  CausalLoss objective_;
  TensorView tokens_, targets_, denominator_;
  StepSums sums_;
};

}  // namespace moiety
