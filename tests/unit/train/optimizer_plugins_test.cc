// The optimizers that see matrices as wholes, against double-precision loops that cut the tensors
// into matrices by themselves. Every tensor kind is there: a dense matrix, experts, two matrices
// side by side, vectors, and one of several tiles.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include <moiety/master_weight.h>
#include <moiety/optimizer.h>

#include "core/plugin/registry.h"
#include "tests/unit/device_test.h"

namespace moiety {
namespace {

using Doubles = std::vector<double>;

/// One matrix of a tensor as it should be: element (r, c) of it is `at[r * columns + c]`.
struct Matrix {
  size_t rows = 1, columns = 1;
  std::vector<size_t> at;
};

struct Tensor {
  std::string name;
  std::vector<int64_t> shape;
  bool expert = false;
  float lr_scale = 1, decay_scale = 1;
};

std::vector<Matrix> cut(const Tensor& t) {
  std::vector<size_t> n(t.shape.begin(), t.shape.end());
  size_t experts = 1, rows = 1, beside = 1, columns = n.back();
  if (n.size() == 2) (t.expert ? experts : rows) = n[0];
  if (n.size() == 3) experts = n[0], rows = n[1];
  if (n.size() == 4) experts = n[0], rows = n[1], beside = n[2];
  std::vector<Matrix> matrices;
  for (size_t e = 0; e < experts; ++e) {
    for (size_t b = 0; b < beside; ++b) {
      Matrix m{rows, columns, {}};
      for (size_t r = 0; r < rows; ++r) {
        for (size_t c = 0; c < columns; ++c) {
          m.at.push_back(((e * rows + r) * beside + b) * columns + c);
        }
      }
      matrices.push_back(m);
    }
  }
  return matrices;
}

/// What a rule sees of one matrix; `memory` starts empty.
struct Problem {
  const Tensor& tensor;
  size_t rows, columns;
  Doubles w, g;
  Doubles& memory;
  int t;
  double lr;
};
using Rule = std::function<void(Problem&)>;

double rms(const Doubles& x) {
  const double squares = std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
  return std::sqrt(squares / static_cast<double>(x.size()));
}

const std::vector<Tensor> kTensors = {
    {"layers.0.attention.out.weight", {9, 7}},
    {"layers.0.ffn.w_out", {1, 5, 8}, false, 0.5f},
    {"layers.1.moe.experts.w_in", {3, 6, 2, 4}, true},
    {"layers.1.moe.experts.w_out", {3, 4, 6}, true, 1, 0},
    {"layers.1.moe.experts.b_in", {3, 8}, true, 1, 0},
    {"layers.1.moe.router.weight", {6, 3}},
    {"final_norm.weight", {11}, false, 1, 0},
    {"layers.1.attention.qkv.weight", {150, 310}},
};

class OptimizerPlugins : public DeviceTest {
 protected:
  static constexpr int kSteps = 5;
  static constexpr float kRate = 0.02f, kFactor = 0.25f;

  /// Five steps of a plugin and of a rule on every tensor; an overflow in between changes nothing.
  void compare(const std::string& name, const OptionMap& given, double tolerance,
               const Rule& rule) {
    PluginRegistry plugins({std::string(MOIETY_BINARY_DIR) + "/lib/moiety/plugins"});
    const auto optimizer = plugins.create<Optimizer>(
        name, complete_options(plugins.find(ComponentKind::kOptimizer, name), given), {});
    EXPECT_TRUE(optimizer->needs_whole_tensors());
    std::vector<ParamSlice> slices;
    std::vector<TensorView> gradients;
    std::vector<Doubles> weights;
    std::vector<std::vector<Doubles>> memory;
    for (const Tensor& t : kTensors) {
      slices.push_back(slice(*optimizer, t, &weights));
      gradients.push_back(arena_->make(DType::kF32, t.shape));
      slices.back().grad = gradients.back();
      memory.emplace_back(cut(t).size());
    }
    optimizer->bind(exec_, slices);
    for (int step = 1; step <= kSteps; ++step) {
      StepState state;
      state.update = step, state.lr = kRate, state.grad_factor = kFactor, state.skip = 1;
      for (const TensorView& g : gradients) {
        const std::vector<float> bad(static_cast<size_t>(g.numel()), INFINITY);
        upload(g, bad.data(), bad.size() * 4);
      }
      set_step(state);
      run(*optimizer);
      state.skip = 0;
      set_step(state);
      for (size_t i = 0; i < kTensors.size(); ++i) {
        const auto seed = static_cast<uint32_t>(100 * step) + static_cast<uint32_t>(i);
        const std::vector<float> g = normal(weights[i].size(), seed);
        upload(gradients[i], g.data(), g.size() * 4);
        apply(kTensors[i], g, step, rule, &weights[i], &memory[i]);
      }
      run(*optimizer);
    }
    for (size_t i = 0; i < kTensors.size(); ++i) {
      const TensorView& got = slices[i].master ? slices[i].master : slices[i].value;
      const std::vector<float> expected(weights[i].begin(), weights[i].end());
      EXPECT_LT(worst(get(got), expected), tolerance) << kTensors[i].name;
      if (!slices[i].master) continue;
      const std::vector<float> masters = get(slices[i].master), values = get(slices[i].value);
      for (size_t k = 0; k < masters.size(); ++k) {
        ASSERT_EQ(values[k], rounded(masters[k])) << kTensors[i].name;
      }
    }
  }

 private:
  void run(const Optimizer& optimizer) {
    optimizer.step(exec_);
    context_->synchronize();
    scratch_->rewind({});
  }

  float rounded(float x) const {
    return dtype() == DType::kBF16 ? static_cast<float>(value_of_master<BFloat16>(x))
                                   : static_cast<float>(Float16(x));
  }

  TensorView filled(DType dtype, const std::vector<int64_t>& shape,
                    const std::vector<float>& values) {
    const TensorView flat = put(values, dtype, {static_cast<int64_t>(values.size())});
    TensorView t = arena_->make(dtype, shape);
    context_->copy(t.ptr, flat.ptr, static_cast<size_t>(t.numel() * size_of(dtype)));
    return t;
  }

  ParamSlice slice(const Optimizer& optimizer, const Tensor& t, std::vector<Doubles>* weights) {
    const int64_t n =
        std::accumulate(t.shape.begin(), t.shape.end(), int64_t{1}, std::multiplies<>());
    const auto seed = static_cast<uint32_t>(weights->size() + 1);
    const std::vector<float> start = normal(static_cast<size_t>(n), seed);
    weights->emplace_back(start.begin(), start.end());
    ParamSlice p;
    p.info.name = t.name, p.info.shape = t.shape;
    p.info.first_expert = t.expert ? 0 : -1;
    p.info.lr_scale = t.lr_scale, p.info.decay_scale = t.decay_scale;
    p.value = filled(dtype(), t.shape, start);
    if (dtype() != DType::kF32) p.master = filled(DType::kF32, t.shape, start);
    for (const StateSpec& spec : optimizer.state(p.info)) {
      const TensorView s = arena_->make(spec.dtype, spec.shape.empty() ? t.shape : spec.shape);
      context_->zero(s.ptr, static_cast<size_t>(s.numel() * size_of(s.dtype)));
      p.state.push_back(s);
    }
    return p;
  }

  static void apply(const Tensor& t, const std::vector<float>& g, int step, const Rule& rule,
                    Doubles* weights, std::vector<Doubles>* memory) {
    const std::vector<Matrix> matrices = cut(t);
    for (size_t k = 0; k < matrices.size(); ++k) {
      const Matrix& m = matrices[k];
      Problem p{t,         m.rows,
                m.columns, {},
                {},        (*memory)[k],
                step,      static_cast<double>(kRate) * static_cast<double>(t.lr_scale)};
      for (const size_t i : m.at) {
        p.w.push_back((*weights)[i]);
        p.g.push_back(static_cast<double>(g[i]) * static_cast<double>(kFactor));
      }
      rule(p);
      for (size_t i = 0; i < m.at.size(); ++i) (*weights)[m.at[i]] = p.w[i];
    }
  }
};

/// Mean and variance in `memory`; Adam's direction.
Doubles adam_direction(Problem& p, double beta1, double beta2, double eps) {
  const size_t n = p.w.size();
  p.memory.resize(2 * n);
  Doubles direction(n);
  for (size_t i = 0; i < n; ++i) {
    double &mean = p.memory[i], &variance = p.memory[n + i];
    mean = beta1 * mean + (1 - beta1) * p.g[i];
    variance = beta2 * variance + (1 - beta2) * p.g[i] * p.g[i];
    const double m = mean / (1 - std::pow(beta1, p.t)), v = variance / (1 - std::pow(beta2, p.t));
    direction[i] = m / (std::sqrt(v) + eps);
  }
  return direction;
}

TEST_P(OptimizerPlugins, LambFollowsItsDefinition) {
  for (const double most : {10.0, 1.05}) {
    const OptionMap options = {{"betas", Doubles{0.8, 0.95}},
                               {"eps", 1e-6},
                               {"weight_decay", 0.3},
                               {"min_coeff", 0.9},
                               {"max_coeff", most}};
    compare("lamb", options, 3e-6, [most](Problem& p) {
      Doubles r = adam_direction(p, 0.8, 0.95, 1e-6);
      const double decay = 0.3 * static_cast<double>(p.tensor.decay_scale);
      for (size_t i = 0; i < r.size(); ++i) r[i] += decay * p.w[i];
      const double ratio = std::clamp(rms(p.w) / rms(r), 0.9, most);
      for (size_t i = 0; i < r.size(); ++i) p.w[i] -= p.lr * ratio * r[i];
    });
  }
}

void adafactor(Problem& p, double beta1, double clip, bool relative) {
  const bool matrix = p.rows > 1 && p.columns > 1;
  const size_t n = p.w.size(), factors = matrix ? p.rows + p.columns : n;
  p.memory.resize(factors + n);
  const double share = std::pow(p.t, -0.7);
  Doubles fresh(factors), u(n);
  for (size_t i = 0; i < n; ++i) {
    const double square = p.g[i] * p.g[i] + 1e-20;
    if (!matrix) {
      fresh[i] = square;
      continue;
    }
    fresh[i / p.columns] += square / static_cast<double>(p.columns);
    fresh[p.rows + i % p.columns] += square / static_cast<double>(p.rows);
  }
  for (size_t i = 0; i < factors; ++i) {
    p.memory[i] = (1 - share) * p.memory[i] + share * fresh[i];
  }
  double mean = 0;
  for (size_t r = 0; r < p.rows; ++r) mean += p.memory[r] / static_cast<double>(p.rows);
  for (size_t i = 0; i < n; ++i) {
    const double v =
        matrix ? p.memory[i / p.columns] * p.memory[p.rows + i % p.columns] / mean : p.memory[i];
    u[i] = p.g[i] / std::sqrt(v);
  }
  const double scale = static_cast<double>(p.tensor.lr_scale);
  const double rho = relative ? std::min(p.lr / scale, 1 / std::sqrt(p.t)) * scale : p.lr;
  const double rate = rho * std::max(1e-2, rms(p.w)) / std::max(1.0, rms(u) / clip);
  for (size_t i = 0; i < n; ++i) {
    double& momentum = p.memory[factors + i];
    momentum = beta1 * momentum + (1 - beta1) * rate * u[i];
    p.w[i] = p.w[i] * (1 - p.lr * 0.3 * static_cast<double>(p.tensor.decay_scale)) - momentum;
  }
}

TEST_P(OptimizerPlugins, AdafactorFollowsItsDefinition) {
  for (const double beta1 : {0.0, 0.8}) {
    for (const double clip : {1.0, 0.5}) {
      const OptionMap options = {{"eps", Doubles{1e-20, 1e-2}}, {"clip_threshold", clip},
                                 {"decay_rate", 0.7},           {"beta1", beta1},
                                 {"weight_decay", 0.3},         {"relative_step", beta1 > 0}};
      compare("adafactor", options, 3e-6,
              [=](Problem& p) { adafactor(p, beta1, clip, beta1 > 0); });
    }
  }
}

Doubles product(const Doubles& a, const Doubles& b, size_t rows, size_t inner, size_t columns) {
  Doubles c(rows * columns);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t k = 0; k < inner; ++k) {
      for (size_t j = 0; j < columns; ++j)
        c[i * columns + j] += a[i * inner + k] * b[k * columns + j];
    }
  }
  return c;
}

Doubles turned(const Doubles& a, size_t rows, size_t columns) {
  Doubles t(a.size());
  for (size_t i = 0; i < a.size(); ++i) t[i % columns * rows + i / columns] = a[i];
  return t;
}

/// X <- 3.4445 X - 4.775 (X X^T) X + 2.0315 (X X^T)^2 X, without turning the matrix.
Doubles orthogonal(Doubles x, size_t rows, size_t columns, int steps) {
  const double norm = rms(x) * std::sqrt(static_cast<double>(x.size()));
  for (double& v : x) v /= std::max(norm, 1e-7);
  for (int k = 0; k < steps; ++k) {
    const Doubles gram = product(x, turned(x, rows, columns), rows, columns, rows);
    const Doubles once = product(gram, x, rows, rows, columns);
    const Doubles twice = product(gram, once, rows, rows, columns);
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = 3.4445 * x[i] - 4.775 * once[i] + 2.0315 * twice[i];
    }
  }
  return x;
}

void muon(Problem& p, bool nesterov, bool match) {
  const double decay = 0.3 * static_cast<double>(p.tensor.decay_scale);
  const bool other = p.rows == 1 || p.tensor.name.find("router") != std::string::npos;
  if (other) {
    const double lr = 0.5 * p.lr;
    const Doubles r = adam_direction(p, 0.9, 0.95, 1e-8);
    for (size_t i = 0; i < r.size(); ++i) p.w[i] = p.w[i] * (1 - lr * decay) - lr * r[i];
    return;
  }
  p.memory.resize(p.w.size());
  Doubles u(p.w.size());
  for (size_t i = 0; i < u.size(); ++i) {
    p.memory[i] = 0.9 * p.memory[i] + 0.1 * p.g[i];
    u[i] = nesterov ? 0.1 * p.g[i] + 0.9 * p.memory[i] : p.memory[i];
  }
  u = orthogonal(u, p.rows, p.columns, 5);
  const auto in = static_cast<double>(p.rows), out = static_cast<double>(p.columns);
  const double adjust =
      match ? 0.2 * std::sqrt(std::max(in, out)) : std::sqrt(std::max(1.0, out / in));
  for (size_t i = 0; i < u.size(); ++i) {
    p.w[i] = p.w[i] * (1 - p.lr * decay) - p.lr * adjust * u[i];
  }
}

TEST_P(OptimizerPlugins, MuonFollowsItsDefinition) {
  for (const bool nesterov : {true, false}) {
    const OptionMap options = {
        {"momentum", 0.9},
        {"nesterov", nesterov},
        {"weight_decay", 0.3},
        {"ns_dtype", std::string("f32")},
        {"adjust_lr_fn", std::string(nesterov ? "original" : "match_rms_adamw")},
        {"adamw_lr_scale", 0.5}};
    compare("muon", options, 1e-5, [=](Problem& p) { muon(p, nesterov, !nesterov); });
  }
}

TEST(MuonPlugin, TheOutputLayerOfAnyModelTakesAdamWsStep) {
  PluginRegistry plugins({std::string(MOIETY_BINARY_DIR) + "/lib/moiety/plugins"});
  const auto muon = plugins.create<Optimizer>(
      "muon", complete_options(plugins.find(ComponentKind::kOptimizer, "muon"), {}), {});
  const auto states = [&](const std::string& name) {
    ParamInfo info;
    info.name = name, info.shape = {6, 4};
    return muon->state(info).size();
  };
  EXPECT_EQ(states("dense.0.weight"), 1u);  // the momentum
  EXPECT_EQ(states("head.weight"), 2u);     // mean and variance
  EXPECT_EQ(states("output.weight"), 2u);   // of a classifier
}

INSTANTIATE_TEST_SUITE_P(Devices, OptimizerPlugins,
                         testing::Values(DeviceCase{DeviceType::kCpu, DType::kF32},
                                         DeviceCase{DeviceType::kCpu, DType::kBF16},
                                         DeviceCase{DeviceType::kCuda, DType::kF32},
                                         DeviceCase{DeviceType::kCuda, DType::kBF16}),
                         case_name);

}  // namespace
}  // namespace moiety
