// How the components of a MoE layer are made: the expert type says the layer's shape on a probe
// instance, then gate, experts and dense branch are made with the sizes that it decided.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/config/run_config.h"
#include "core/model/moe_layer.h"

namespace moiety {

class PluginRegistry;

/// Makes components for given sizes.
struct MoeFactory {
  std::function<std::shared_ptr<GatingPolicy>(const ModelDims&)> gate;
  std::function<std::shared_ptr<ExpertType>(const ModelDims&)> expert;
};

/// The gate and the expert type of `config`, from plugins.
MOIETY_API MoeFactory plugin_factory(const MoeConfig& config, PluginRegistry& plugins);

struct MoeDesign {
  ModelDims dims;
  MoeParts parts;
};

/// `dims` has the sizes of the model and the layer's number; experts and width come from the
/// configuration and the expert type. `moe_layer` is the layer's number among those of
/// config.layers. Throws Error when a shape is impossible, ConfigError where the expert type and
/// the configuration both decide the same thing.
MOIETY_API MoeDesign design_moe_layer(const MoeFactory& factory, const MoeConfig& config,
                                      const ModelDims& dims, int64_t experts, int64_t moe_layer);

/// The shapes of all MoE layers, without making any: what design_moe_layer decides and refuses.
MOIETY_API std::vector<LayerShape> moe_layer_shapes(const RunConfig& config,
                                                    PluginRegistry& plugins);

}  // namespace moiety
