// A build without cuDNN.
#include "core/ops/attention_cudnn.h"

namespace moiety::ops::cuda {

bool built_with_cudnn() { return false; }

bool cudnn_attention(Exec&, const AttentionShape&, ConstTensorView, TensorView, TensorView,
                     const Documents&) {
  return false;
}

bool cudnn_attention_backward(Exec&, const AttentionShape&, ConstTensorView, ConstTensorView,
                              ConstTensorView, ConstTensorView, TensorView, const Documents&) {
  return false;
}

}  // namespace moiety::ops::cuda
