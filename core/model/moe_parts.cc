// Components of MoE layers.
#include "core/model/moe_parts.h"

#include <algorithm>
#include <functional>

#include "core/base/check.h"
#include "core/config/requested_shape.h"
#include "core/plugin/gate.h"
#include "core/plugin/registry.h"

namespace moiety {

MoeFactory plugin_factory(const MoeConfig& config, PluginRegistry& plugins) {
  MoeFactory factory;
  factory.gate = [&config, &plugins](const ModelDims& dims) {
    return plugins.create<GatingPolicy>(config.gate.type, config.gate.options, dims);
  };
  factory.expert = [&config, &plugins](const ModelDims& dims) {
    return plugins.create<ExpertType>(config.expert.type, config.expert.options, dims);
  };
  return factory;
}

static ModelDims sized(ModelDims dims, int64_t experts, int64_t hidden) {
  dims.experts = dims.local_experts = experts;
  dims.hidden = hidden;
  return dims;
}

/// Two rules for one thing are a misunderstanding, not a choice.
static void check_decided_once(const MoeConfig& config, const LayerShape& requested,
                               const LayerShape& shape) {
  if (requested.dense == DenseBranch::kAdd && shape.dense != DenseBranch::kAdd) {
    throw ConfigError(fmt::format(
        "moe.shared_expert: expert type {} has a dense branch of its own, and a layer has one; "
        "remove moe.shared_expert, or choose another moe.expert.type",
        config.expert.type));
  }
  const auto& counts = config.num_experts;
  const bool list =
      std::adjacent_find(counts.begin(), counts.end(), std::not_equal_to<>()) != counts.end();
  if (list && shape.experts != requested.experts) {
    throw ConfigError(fmt::format(
        "moe.num_experts: a list beside expert type {}, which changes the counts by layer (MoE "
        "layer {}: {} to {}); give one number, or choose another moe.expert.type",
        config.expert.type, requested.moe_layer, requested.experts, shape.experts));
  }
}

/// Asks a probe instance of the expert type.
static LayerShape decided_shape(const MoeFactory& factory, const MoeConfig& config,
                                const ModelDims& dims, int64_t experts, int64_t moe_layer) {
  const LayerShape requested = requested_shape(config, experts, moe_layer);
  const std::shared_ptr<ExpertType> probe = factory.expert(sized(dims, experts, config.hidden));
  const std::string name = describe(probe);
  const LayerShape shape = in_plugin(name, "layer_shape", dims.layer, [&] {
    return probe->layer_shape(dims.layer, dims.layers, requested);
  });
  MOIETY_CHECK(shape.experts >= 1 && shape.hidden >= 1,
               "{} (layer {}): layer_shape says {} experts of width {}; both must be at least 1",
               name, dims.layer, shape.experts, shape.hidden);
  MOIETY_CHECK(
      shape.dense == DenseBranch::kNone || shape.dense_hidden >= 1,
      "{} (layer {}): layer_shape asks for a dense branch of width {}; at least 1 expected", name,
      dims.layer, shape.dense_hidden);
  check_decided_once(config, requested, shape);
  return shape;
}

std::vector<LayerShape> moe_layer_shapes(const RunConfig& config, PluginRegistry& plugins) {
  std::vector<LayerShape> shapes;
  if (!config.moe.enabled) return shapes;
  const MoeFactory factory = plugin_factory(config.moe, plugins);
  ModelDims dims;
  dims.model = config.model.hidden, dims.layers = config.model.layers;
  for (size_t i = 0; i < config.moe.layers.size(); ++i) {
    dims.layer = config.moe.layers[i];
    shapes.push_back(decided_shape(factory, config.moe, dims, config.moe.num_experts.at(i),
                                   static_cast<int64_t>(i)));
  }
  return shapes;
}

MoeDesign design_moe_layer(const MoeFactory& factory, const MoeConfig& config,
                           const ModelDims& dims, int64_t experts, int64_t moe_layer) {
  MoeDesign design;
  LayerShape& shape = design.parts.shape;
  shape = decided_shape(factory, config, dims, experts, moe_layer);
  design.dims = sized(dims, shape.experts, shape.hidden);
  design.parts.load_noise = config.load_loss_noise;
  design.parts.router = config.router;
  design.parts.gate = factory.gate(design.dims);
  design.parts.expert = factory.expert(design.dims);
  if (shape.dense == DenseBranch::kNone) return design;
  design.parts.dense = factory.expert(sized(dims, 1, shape.dense_hidden));
  return design;
}

}  // namespace moiety
