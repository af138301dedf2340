// The plain feed-forward expert of GPT-2: act(x W_in + b_in) W_out + b_out.
#include <moiety/feed_forward.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

struct FfnOptions {
  std::string activation = "gelu";
  bool bias = true;
  static void describe(Schema<FfnOptions>& s) {
    s.field("activation", &FfnOptions::activation,
            "between the two products; gelu is the exact one")
        .one_of({"gelu", "gelu_tanh", "relu", "relu_squared", "silu"});
    s.field("bias", &FfnOptions::bias, "b_in and b_out");
  }
};

class Ffn final : public FeedForward {
 public:
  using Options = FfnOptions;
  Ffn(const Options& options, const ModelDims& dims)
      : FeedForward({.activation = activation_named(options.activation), .bias = options.bias},
                    dims) {}
};

}  // namespace

MOIETY_PLUGIN("ffn", "1.0.0") { plugin.add<Ffn>("ffn", "two products with an activation between"); }
