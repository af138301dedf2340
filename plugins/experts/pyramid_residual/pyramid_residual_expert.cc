// PR-MoE (Rajbhandari et al., 2022, section 4.1): a dense MLP beside the routed experts, and more
// experts in the last MoE layers. The expert function is the plain feed-forward network.
#include <algorithm>
#include <cstdint>
#include <string>

#include <moiety/feed_forward.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

struct PyramidOptions {
  int64_t growth = 2, last_layers = 2;
  std::string activation = "gelu";
  bool bias = true;
  int64_t dense_hidden = 0;
  static void describe(Schema<PyramidOptions>& s) {
    s.field("growth", &PyramidOptions::growth,
            "the last MoE layers have this many times moe.num_experts experts")
        .range(1, 64);
    s.field("last_layers", &PyramidOptions::last_layers,
            "how many MoE layers those are; at most half of all")
        .range(0, 10000);
    s.field("activation", &PyramidOptions::activation,
            "between the two products; gelu is the exact one")
        .one_of({"gelu", "gelu_tanh", "relu", "relu_squared", "silu"});
    s.field("bias", &PyramidOptions::bias, "b_in and b_out");
    s.field("dense_hidden", &PyramidOptions::dense_hidden,
            "width of the dense MLP; 0 = that of an expert")
        .range(0, 1 << 24);
  }
};

class PyramidResidual final : public FeedForward {
 public:
  using Options = PyramidOptions;
  PyramidResidual(const Options& options, const ModelDims& dims)
      : FeedForward({.activation = activation_named(options.activation), .bias = options.bias},
                    dims),
        options_(options) {}

  LayerShape layer_shape(int64_t, int64_t, const LayerShape& requested) const override {
    LayerShape shape = requested;
    const int64_t wide = std::min(options_.last_layers, requested.moe_layers / 2);
    if (requested.moe_layer >= requested.moe_layers - wide) shape.experts *= options_.growth;
    shape.dense = DenseBranch::kCoefficient;
    shape.dense_hidden = options_.dense_hidden > 0 ? options_.dense_hidden : requested.hidden;
    return shape;
  }

 private:
  Options options_;
};

}  // namespace

MOIETY_PLUGIN("pyramid_residual", "1.0.0") {
  plugin.add<PyramidResidual>("pyramid_residual",
                              "residual, with twice the experts in the last MoE layers");
}
