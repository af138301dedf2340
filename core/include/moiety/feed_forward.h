// The two plain expert functions, to use or to derive from (plugins cannot include one another).
#pragma once

#include <string_view>

#include <moiety/expert_type.h>
#include <moiety/ops.h>

namespace moiety {

/// gelu (the exact one), gelu_tanh, relu, relu_squared, silu. Throws Error for another name.
MOIETY_API ops::Activation activation_named(std::string_view name);

/// y = act(x W_in + b_in) W_out + b_out. Parameters w_in [L, D, H], b_in [L, H], w_out [L, H, D],
/// b_out [L, D]; no biases without `bias`.
class MOIETY_API FeedForward : public ExpertType {
 public:
  struct Form {
    ops::Activation activation = ops::Activation::kGelu;
    bool bias = true;
  };
  FeedForward(const Form& form, const ModelDims& dims);
  ~FeedForward() override;
  void declare(Declarations&) const override;
  void forward(Exec&, const ExpertBatch&, const Params&, TensorView y, Saved&) const override;
  void backward(Exec&, const ExpertBatch&, const Params&, const Saved&, ConstTensorView dout,
                TensorView dx, TensorView dweight) const override;
  double flops_per_token() const override;

 private:
  Form form_;
  ModelDims dims_;
};

/// y = (act(x W_gate) * (x W_up)) W_out (Shazeer, 2020). Parameters w_in [L, D, 2, H] with the gate
/// first, w_out [L, H, D].
class MOIETY_API GatedFeedForward : public ExpertType {
 public:
  struct Form {
    ops::Activation activation = ops::Activation::kSilu;
  };
  GatedFeedForward(const Form& form, const ModelDims& dims);
  ~GatedFeedForward() override;
  void declare(Declarations&) const override;
  void forward(Exec&, const ExpertBatch&, const Params&, TensorView y, Saved&) const override;
  void backward(Exec&, const ExpertBatch&, const Params&, const Saved&, ConstTensorView dout,
                TensorView dx, TensorView dweight) const override;
  double flops_per_token() const override;

 private:
  Form form_;
  ModelDims dims_;
};

}  // namespace moiety
