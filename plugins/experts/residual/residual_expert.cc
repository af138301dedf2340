// Residual MoE (Rajbhandari et al., 2022, section 4.1): a dense MLP beside the routed experts,
// mixed by a learned two-way softmax. The expert function is the plain feed-forward network.
#include <cstdint>
#include <string>

#include <moiety/feed_forward.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

struct ResidualOptions {
  std::string activation = "gelu";
  bool bias = true;
  int64_t dense_hidden = 0;
  static void describe(Schema<ResidualOptions>& s) {
    s.field("activation", &ResidualOptions::activation,
            "between the two products; gelu is the exact one")
        .one_of({"gelu", "gelu_tanh", "relu", "relu_squared", "silu"});
    s.field("bias", &ResidualOptions::bias, "b_in and b_out");
    s.field("dense_hidden", &ResidualOptions::dense_hidden,
            "width of the dense MLP; 0 = that of an expert")
        .range(0, 1 << 24);
  }
};

class Residual final : public FeedForward {
 public:
  using Options = ResidualOptions;
  Residual(const Options& options, const ModelDims& dims)
      : FeedForward({.activation = activation_named(options.activation), .bias = options.bias},
                    dims),
        dense_hidden_(options.dense_hidden) {}

  LayerShape layer_shape(int64_t, int64_t, const LayerShape& requested) const override {
    LayerShape shape = requested;
    shape.dense = DenseBranch::kCoefficient;
    shape.dense_hidden = dense_hidden_ > 0 ? dense_hidden_ : requested.hidden;
    return shape;
  }

 private:
  int64_t dense_hidden_;
};

}  // namespace

MOIETY_PLUGIN("residual", "1.0.0") {
  plugin.add<Residual>("residual", "ffn experts beside a dense MLP, mixed by a two-way softmax");
}
