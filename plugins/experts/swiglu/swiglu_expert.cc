// The gated feed-forward expert of Llama and Mixtral: (silu(x W_gate) * (x W_up)) W_out.
#include <moiety/feed_forward.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

struct SwigluOptions {
  std::string activation = "silu";
  static void describe(Schema<SwigluOptions>& s) {
    s.field("activation", &SwigluOptions::activation, "of the gate: silu is SwiGLU, gelu GEGLU")
        .one_of({"silu", "gelu", "gelu_tanh", "relu"});
  }
};

class Swiglu final : public GatedFeedForward {
 public:
  using Options = SwigluOptions;
  Swiglu(const Options& options, const ModelDims& dims)
      : GatedFeedForward({.activation = activation_named(options.activation)}, dims) {}
};

}  // namespace

MOIETY_PLUGIN("swiglu", "1.0.0") {
  plugin.add<Swiglu>("swiglu", "a gated feed-forward network (Shazeer, 2020)");
}
