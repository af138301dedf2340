#include "core/bench/moe_layer_run.h"

#include <numeric>

#include "core/base/check.h"
#include "core/model/all_rows.h"
#include "core/model/moe_parts.h"

namespace moiety::bench {

static constexpr float kScale = 0.035f;  // deviation 0.02

MoeLayerRun::MoeLayerRun(const RunConfig& config, PluginRegistry& plugins, DeviceContext& context,
                         const TableForm& form)
    : ground_(context, form.compute), kept_(context) {
  if (!config.moe.enabled) throw ConfigError("moe.enabled is false; there is no layer to measure");
  ModelDims dims;
  dims.model = config.model.hidden;
  dims.layer = config.moe.layers.front(), dims.layers = config.model.layers;
  MoeDesign design = design_moe_layer(plugin_factory(config.moe, plugins), config.moe, dims,
                                      config.moe.num_experts.front(), /*moe_layer=*/0);
  layer_ = std::make_unique<MoeLayer>(table_, "moe", design.dims, std::move(design.parts));
  table_.allocate(context, form);
  uint32_t seed = 100;
  for (TableEntry& entry : table_.entries()) {  // on the device: the host's draws take long
    if (!entry.buffer) ground_.draw(entry.parameter.value, seed++, kScale);
  }
  table_.set_grad_mode(GradMode::kOverwrite);
}

void MoeLayerRun::run(ConstTensorView x, ConstTensorView dout, TensorView out, TensorView dx) {
  kept_.rewind();
  call_ = std::make_unique<MoeCall>(kept_);
  ground_.call([&](Exec& exec) {
    const AllRows all(exec, kept_, x.dim(0));
    MoeInput input;
    input.x = x, input.all = &all;
    layer_->forward(exec, input, {}, *call_, out);
    layer_->backward(exec, {}, *call_, dout, dx);
  });
}

double MoeLayerRun::kept() {
  std::vector<int32_t> counts(static_cast<size_t>(call_->slots.count.numel()));
  ground_.context().copy(counts.data(), call_->slots.count.ptr, counts.size() * sizeof(int32_t));
  ground_.context().synchronize();
  return std::accumulate(counts.begin(), counts.end(), 0.0);
}

double MoeLayerRun::forward_flops(int64_t tokens, double choices) const {
  return layer_->flops_per_token() * static_cast<double>(tokens) +
         layer_->flops_per_choice() * choices;
}

void MoeLayerRun::take_weights(MoeLayerRun& from) {
  for (TableEntry& entry : table_.entries()) {
    const TableEntry* source = from.table().find(entry.name);
    MOIETY_CHECK(source != nullptr, "the layers differ: there is no {}", entry.name);
    ops::copy(ground_.exec(), source->parameter.value, entry.parameter.value);
  }
}

}  // namespace moiety::bench
