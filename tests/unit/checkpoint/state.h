// A small table with everything that a checkpoint must keep: experts, 16-bit values with masters,
// a frozen tensor, a buffer, optimizer state.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "core/checkpoint/checkpoint.h"

namespace moiety {

class TwoMoments : public Optimizer {
 public:
  std::vector<StateSpec> state(const ParamInfo&) const override {
    return {{"first", DType::kF32, {}}, {"second", DType::kBF16, {}}, {"count", DType::kI32, {1}}};
  }
  void bind(Exec&, std::span<const ParamSlice>) override {}
  void step(Exec&) const override {}
};

class Experts : public Component {
 public:
  void declare(Declarations& d) const override {
    ParamSpec spec;
    spec.name = "w_in", spec.shape = {3, 4, 5};
    d.parameter(spec);
    d.buffer("load", DType::kI64, {3});
  }
};

struct TableOptions {
  DType compute = DType::kBF16;
  int64_t vocab = 7;
  const char* norm = "final_norm.weight";
  bool state = true;
  bool split = false;  // the bits below the values in place of masters
};

class State {
 public:
  using Options = TableOptions;

  explicit State(uint32_t seed, const Options& options = {}) {
    ParamSpec spec;
    spec.shape = {options.vocab, 4};
    table.add("embedding.token", spec);
    spec.shape = {4};
    table.add(options.norm, spec);
    spec.shape = {2, 6};
    table.add("frozen.weight", spec);
    table.declare("layers.1.moe.experts", experts_, /*expert=*/true, 1);
    table.freeze({"frozen.*"});
    table.allocate(context_, {.compute = options.compute, .split_masters = options.split});
    if (options.state) table.slices(TwoMoments());
    fill(seed);
  }

  /// The bytes of every tensor that a run goes on from, and of the values that the model reads.
  std::vector<std::vector<uint8_t>> bytes() {
    std::vector<std::vector<uint8_t>> out;
    for (TableEntry& entry : table.entries()) {
      for (const TensorView& tensor : tensors(entry)) out.push_back(raw(tensor));
    }
    return out;
  }
  TensorView value(const char* name) { return table.find(name)->parameter.value; }

  ParameterTable table;

 private:
  static std::vector<TensorView> tensors(TableEntry& entry) {
    std::vector<TensorView> out = {entry.parameter.value};
    if (entry.master) out.push_back(entry.master);
    if (entry.master_low) out.push_back(entry.master_low);
    out.insert(out.end(), entry.state.begin(), entry.state.end());
    return out;
  }
  static std::vector<uint8_t> raw(const TensorView& tensor) {
    const auto* at = static_cast<const uint8_t*>(tensor.ptr);
    return {at, at + tensor.numel() * size_of(tensor.dtype)};
  }
  void fill(uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (TableEntry& entry : table.entries()) {
      std::vector<float> values(static_cast<size_t>(entry.parameter.value.numel()));
      for (float& x : values) x = normal(random);
      if (!entry.buffer) table.write(entry, values);
      std::vector<TensorView> others = entry.state;
      if (entry.buffer) others.push_back(entry.parameter.value);
      for (const TensorView& tensor : others) {
        auto* at = static_cast<uint8_t*>(tensor.ptr);
        for (int64_t i = 0; i < tensor.numel() * size_of(tensor.dtype); ++i) {
          at[i] = static_cast<uint8_t>(random());
        }
      }
    }
  }

  Experts experts_;
  DeviceContext context_{Device{}};
};

inline CheckpointInfo some_info() {
  CheckpointInfo info;
  info.state.batch = 12, info.state.update = 11, info.state.tokens = int64_t{1} << 40;
  info.state.seconds = 0.1, info.state.sample = 77, info.state.seed = 0xfedcba9876543210ull;
  info.state.bad_steps = 2;
  info.state.scaler = {0.1, 5, -1, 1, 0.25, 500, 3, true, true, 1};
  info.resolved_yaml = "run: {seed: 3}\n# ümlaut\n";
  info.moiety_version = "1.2.3";
  info.plugins = {{"gating", "topk", "0.1", "moiety_gating_topk.so", std::string(64, 'a')},
                  {"optimizer", "adamw", "0.2", "moiety_optimizer_adamw.so", ""}};
  return info;
}

}  // namespace moiety
