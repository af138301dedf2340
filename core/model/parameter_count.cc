#include "core/model/parameter_count.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/model/model.h"
#include "core/model/moe_parts.h"

namespace moiety {

/// Experts that a token passes, on average where experts choose the tokens.
static double choices(const RunConfig& config, const MoeFactory& factory, int64_t layer,
                      int64_t experts) {
  ModelDims dims;
  dims.model = config.model.hidden, dims.hidden = config.moe.hidden;
  dims.experts = dims.local_experts = experts;
  dims.layer = layer, dims.layers = config.model.layers;
  dims.vocab = config.model.vocab_size, dims.sequence = config.model.sequence_length;
  const int64_t tokens = std::max(config.model.sequence_length, experts);
  const PlanShape shape = factory.gate(dims)->plan_shape(tokens, experts, /*training=*/true);
  const auto slots = static_cast<double>(shape.slots);
  if (shape.layout == PlanLayout::kTokenMajor) return slots;
  return slots * static_cast<double>(experts) / static_cast<double>(tokens);
}

ParameterCount count_parameters(const RunConfig& config, PluginRegistry& plugins) {
  DeviceContext context({DeviceType::kCpu}, /*threads=*/1);
  const auto model = make_model(config, plugins, context, ModelMemory::kNone);
  const MoeFactory factory = plugin_factory(config.moe, plugins);
  const std::vector<int64_t> layers = model->moe_layer_numbers();
  const std::vector<int64_t> experts = model->experts_of_layers();
  std::vector<double> share(static_cast<size_t>(config.model.layers), 1);
  for (size_t i = 0; i < layers.size(); ++i) {
    share[static_cast<size_t>(layers[i])] =
        choices(config, factory, layers[i], experts[i]) / static_cast<double>(experts[i]);
  }
  ParameterCount count;
  double active = 0;
  for (const TableEntry& entry : model->parameters().entries()) {
    if (entry.buffer) continue;
    int64_t n = 1;
    for (const int64_t size : entry.shape) n *= size;
    count.total += n;
    if (entry.expert) count.experts += n;
    active +=
        static_cast<double>(n) * (entry.expert ? share.at(static_cast<size_t>(entry.layer)) : 1.0);
  }
  count.active = std::llround(active);
  return count;
}

}  // namespace moiety
