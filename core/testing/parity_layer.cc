#include "core/testing/parity_layer.h"

#include "core/base/check.h"
#include "core/model/moe_parts.h"

namespace moiety::testing {

namespace {

constexpr const char* kPrefix = "layers.0.moe";

std::vector<float> identity(int64_t n) {
  std::vector<float> values(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) values[static_cast<size_t>(i * n + i)] = 1;
  return values;
}

ComponentChoice plain_expert(PluginRegistry& plugins) {
  return {"ffn", complete_options(plugins.find(ComponentKind::kExpert, "ffn"), {})};
}

}  // namespace

ParityLayer::ParityLayer(Parity& parity, ParityBench& bench, const ComponentChoice& gate,
                         const ComponentChoice& expert, const ParityLayerSizes& sizes)
    : bench_(bench), sizes_(sizes) {
  MoeConfig config;
  config.enabled = true;
  config.hidden = sizes.hidden;
  config.gate = gate;
  config.expert = expert;
  ModelDims dims;
  dims.model = sizes.model;
  const MoeFactory factory = plugin_factory(config, parity.plugins);
  MoeDesign design = design_moe_layer(factory, config, dims, sizes.experts, /*moe_layer=*/0);
  if (sizes.added > 0) {
    design.parts.shape.dense = DenseBranch::kAdd;
    design.parts.shape.dense_hidden = dims.hidden = sizes.added;
    dims.experts = dims.local_experts = 1;
    design.parts.dense = factory.expert(dims);
  }
  layer_ = std::make_unique<MoeLayer>(table_, kPrefix, design.dims, std::move(design.parts));
  table_.allocate(bench.context(), DType::kF32, /*gradients=*/true);
}

Parameter::Impl& ParityLayer::parameter(const std::string& name) {
  TableEntry* entry = table_.find(std::string(kPrefix) + "." + name);
  MOIETY_CHECK(entry != nullptr, "the layer has no parameter {}", name);
  return entry->parameter;
}

void ParityLayer::set(const std::string& name, const std::vector<float>& values) {
  parameter(name);
  table_.write(*table_.find(std::string(kPrefix) + "." + name), values);
}

std::vector<float> ParityLayer::gradient(const std::string& name) {
  return bench_.floats(parameter(name).grad);
}

void ParityLayer::forward(const std::vector<float>& x, const std::vector<uint8_t>& mask,
                          int64_t batch) {
  const int64_t D = sizes_.model, E = sizes_.experts, T = static_cast<int64_t>(x.size()) / D;
  MoeInput input;
  input.x = bench_.put(x, {T, D});
  if (!mask.empty()) input.token_mask = bench_.put(mask);
  input.batch = batch;
  all_.emplace(bench_.exec(), bench_.memory(), T);
  input.all = &*all_;
  MoeSums sums;
  sums.routing = {bench_.zeros({E}), bench_.zeros({E}), bench_.zeros({E}), bench_.zeros({1}),
                  bench_.zeros({1})};
  sums.aux = bench_.zeros({1}), sums.balance = bench_.zeros({1}), sums.z = bench_.zeros({1});
  const TensorView y = bench_.zeros({T, D});
  call_.emplace(bench_.memory());
  layer_->forward(bench_.exec(), input, sums, *call_, y);
  out = bench_.floats(y);
  chosen = bench_.floats(sums.routing.chosen);
  aux = bench_.floats(sums.aux);
  z_loss = bench_.floats(sums.z);
}

void ParityLayer::backward(const MoeLossWeights& weights, const std::vector<float>& dout) {
  const int64_t T = call_->input.x.dim(0), D = sizes_.model;
  const TensorView gradient = bench_.zeros({T, D});
  layer_->backward(bench_.exec(), weights, *call_, bench_.put(dout, {T, D}), gradient);
  dx = bench_.floats(gradient);
}

LogitsLayer::LogitsLayer(Parity& parity, ParityBench& bench, const ComponentChoice& gate,
                         int64_t experts)
    : ParityLayer(parity, bench, gate, plain_expert(parity.plugins), {experts, 1, experts}) {
  const auto n = static_cast<size_t>(experts);
  set("router.weight", identity(experts));
  set("experts.w_in", std::vector<float>(n * n));
  set("experts.b_in", std::vector<float>(n));
  set("experts.w_out", std::vector<float>(n * n));
  set("experts.b_out", identity(experts));
}

}  // namespace moiety::testing
