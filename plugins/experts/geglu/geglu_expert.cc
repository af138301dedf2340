// The gated feed-forward expert with a GELU gate: (gelu(x W_gate) * (x W_up)) W_out.
#include <string>

#include <moiety/feed_forward.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

struct GegluOptions {
  std::string activation = "gelu";
  static void describe(Schema<GegluOptions>& s) {
    s.field("activation", &GegluOptions::activation, "of the gate; gelu is the exact one")
        .one_of({"gelu", "gelu_tanh"});
  }
};

class Geglu final : public GatedFeedForward {
 public:
  using Options = GegluOptions;
  Geglu(const Options& options, const ModelDims& dims)
      : GatedFeedForward({.activation = activation_named(options.activation)}, dims) {}
};

}  // namespace

MOIETY_PLUGIN("geglu", "1.0.0") {
  plugin.add<Geglu>("geglu", "a feed-forward network with a GELU gate (Shazeer, 2020)");
}
