// A convolution of 5 x 5 pixels with bias, then ReLU and 2 x 2 max pooling.
#pragma once

#include <cstdint>
#include <string>

#include "core/device/arena.h"
#include "core/model/linear.h"

namespace moiety {

/// What one forward leaves for its backward.
struct ConvolutionCall {
  ConstTensorView x;      // [B, H, W, C]
  TensorView patches, y;  // [B * OH * OW, 25 C], [B, OH, OW, O]
};

class Convolution {
 public:
  static constexpr int64_t kKernel = 5;
  struct Form {
    int64_t height = 0, width = 0, channels = 0;  // of the input
    int64_t out = 0;                              // channels
    int64_t conv_height() const { return height - kKernel + 1; }
    int64_t conv_width() const { return width - kKernel + 1; }
    int64_t out_height() const { return conv_height() / 2; }
    int64_t out_width() const { return conv_width() / 2; }
  };
  /// Declares "name.weight" [25 C, O] and "name.bias" [O].
  Convolution(ParameterTable& table, const std::string& name, const Form& form);

  const Form& form() const { return form_; }
  /// The output [B, OH / 2, OW / 2, O], in `memory` as everything else.
  TensorView forward(Exec& exec, Arena& memory, ConstTensorView x, ConvolutionCall& call) const;
  /// Parameters' gradients, and dx [B, H, W, C] unless it is empty.
  void backward(Exec& exec, const ConvolutionCall& call, ConstTensorView dout, TensorView dx) const;
  double flops() const;  ///< forward, of an image

 private:
  Form form_;
  Linear linear_;
};

}  // namespace moiety
