// Components of MoE layers.
#include "core/model/moe_parts.h"

#include "core/base/check.h"
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

MoeDesign design_moe_layer(const MoeFactory& factory, const MoeConfig& config,
                           const ModelDims& dims, int64_t experts) {
  LayerShape requested;
  requested.experts = experts;
  requested.hidden = config.hidden;
  if (config.use_residual) {
    requested.dense = DenseBranch::kCoefficient;
    requested.dense_hidden = config.hidden;
  }
  const std::shared_ptr<ExpertType> probe = factory.expert(sized(dims, experts, config.hidden));
  const std::string name = describe(probe);
  MoeDesign design;
  LayerShape& shape = design.parts.shape;
  shape = in_plugin(name, "layer_shape", dims.layer,
                    [&] { return probe->layer_shape(dims.layer, dims.layers, requested); });
  MOIETY_CHECK(shape.experts >= 1 && shape.hidden >= 1,
               "{} (layer {}): layer_shape says {} experts of width {}; both must be at least 1",
               name, dims.layer, shape.experts, shape.hidden);
  design.dims = sized(dims, shape.experts, shape.hidden);
  design.parts.router = config.router;
  design.parts.gate = factory.gate(design.dims);
  design.parts.expert = factory.expert(design.dims);
  if (shape.dense == DenseBranch::kNone) return design;
  MOIETY_CHECK(
      shape.dense_hidden >= 1,
      "{} (layer {}): layer_shape asks for a dense branch of width {}; at least 1 expected", name,
      dims.layer, shape.dense_hidden);
  design.parts.dense = factory.expert(sized(dims, 1, shape.dense_hidden));
  return design;
}

}  // namespace moiety
