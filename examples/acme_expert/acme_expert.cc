// Expert type `acme`: y = act(x W_in) W_out without biases, for all experts of a rank at once.
// Letters: N slots, D model, H hidden, L experts of this rank.
#include <moiety/ops.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

class AcmeExpert final : public ExpertType {
 public:
  struct Options {
    std::string activation = "relu_squared";
    static void describe(Schema<Options>& s) {
      s.field("activation", &Options::activation, "between the two products")
          .one_of({"relu_squared", "gelu", "silu"});
    }
  };
  AcmeExpert(const Options& options, const ModelDims& dims)
      : activation_(activation(options.activation)), dims_(dims) {}

  void declare(Declarations& to) const override {
    const int64_t L = dims_.local_experts, D = dims_.model, H = dims_.hidden;
    to.parameter({.name = "w_in", .shape = {L, D, H}, .fan_in = D});
    to.parameter({.name = "w_out", .shape = {L, H, D}, .fan_in = H, .residual_output = true});
  }

  void forward(Exec& exec, const ExpertBatch& batch, const Params& params, TensorView y,
               Saved& saved) const override {
    const int64_t N = y.dim(0), D = dims_.model, H = dims_.hidden;
    const TensorView x = exec.scratch(y.dtype, {N, D}), a = exec.scratch(y.dtype, {N, H});
    const TensorView h = saved.keep("h", y.dtype, {N, H});
    ops::gather_rows(exec, batch, batch.x, x);
    ops::grouped_gemm(exec, batch, x, matrix(exec, params["w_in"]), h);
    ops::activate(exec, batch, activation_, h, a);
    ops::grouped_gemm(exec, batch, a, matrix(exec, params["w_out"]), y);
  }

  // dout is the gradient of the weighted sum over slots: a slot's own is its weight times that.
  void backward(Exec& exec, const ExpertBatch& batch, const Params& params, const Saved& saved,
                ConstTensorView dout, TensorView dx, TensorView dweight) const override {
    const int64_t N = dx.dim(0), D = dims_.model, H = dims_.hidden;
    const Parameter w_in = params["w_in"], w_out = params["w_out"];
    const TensorView x = exec.scratch(dx.dtype, {N, D}), dy = exec.scratch(dx.dtype, {N, D});
    const TensorView a = exec.scratch(dx.dtype, {N, H}), da = exec.scratch(dx.dtype, {N, H});
    ops::gather_rows(exec, batch, dout, dy);
    ops::activate(exec, batch, activation_, saved["h"], a);
    ops::grouped_gemm(exec, batch, dy, matrix(exec, w_out), da, ops::Transpose::kYes);
    if (dweight) ops::row_dot(exec, batch, a, da, dweight);  // <y, dout> = <a, dout W_out^T>
    if (batch.weight) {
      ops::scale_rows(exec, batch, dy);
      ops::scale_rows(exec, batch, da);
    }
    ops::grouped_gemm_grad(exec, batch, a, dy, w_out);
    ops::activate_backward(exec, batch, activation_, saved["h"], da, da);
    ops::gather_rows(exec, batch, batch.x, x);
    ops::grouped_gemm_grad(exec, batch, x, da, w_in);
    ops::grouped_gemm(exec, batch, da, matrix(exec, w_in), dx, ops::Transpose::kYes);
  }

  double flops_per_token() const override {
    return 4.0 * static_cast<double>(dims_.model * dims_.hidden);
  }

 private:
  static ops::Activation activation(const std::string& name) {
    if (name == "gelu") return ops::Activation::kGelu;
    if (name == "silu") return ops::Activation::kSilu;
    return ops::Activation::kReluSquared;
  }
  /// A parameter in the type that products read.
  static ConstTensorView matrix(const Exec& exec, const Parameter& parameter) {
    return parameter.compute_copy({.dtype = exec.compute_dtype()}).values;
  }

  ops::Activation activation_;
  ModelDims dims_;
};

}  // namespace

MOIETY_PLUGIN("acme", "0.1.0") {
  plugin.add<AcmeExpert>("acme", "Two products with an activation between, without biases");
}
