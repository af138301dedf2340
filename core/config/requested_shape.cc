#include "core/config/requested_shape.h"

#include <algorithm>

namespace moiety {

LayerShape requested_shape(const MoeConfig& config, int64_t experts, int64_t moe_layer) {
  LayerShape shape;
  shape.experts = experts;
  shape.hidden = config.hidden;
  shape.moe_layer = moe_layer;
  shape.moe_layers = std::max<int64_t>(static_cast<int64_t>(config.layers.size()), moe_layer + 1);
  if (config.use_residual) {
    shape.dense = DenseBranch::kCoefficient;
    shape.dense_hidden = config.hidden;
  } else if (config.shared_hidden > 0) {
    shape.dense = DenseBranch::kAdd;
    shape.dense_hidden = config.shared_hidden;
    shape.dense_gate = config.shared_gate;
  }
  return shape;
}

}  // namespace moiety
