// Attention by cuDNN's fused kernels (SDPA). attention_cudnn.cc where the build has cuDNN and
// cudnn-frontend's headers; attention_cudnn_none.cc, which always says no, where it has not.
#pragma once

#include "core/ops/attention.h"

namespace moiety::ops::cuda {

/// Whether this build has cuDNN.
MOIETY_API bool built_with_cudnn();

/// As cuda::attention, for bf16 and f16 without dropout. False, and nothing written, where cuDNN
/// has no kernel for the shape on this device. Of `documents` it computes those that are listed:
/// what it leaves in the rows of the others has no meaning.
bool cudnn_attention(Exec&, const AttentionShape&, ConstTensorView qkv, TensorView out,
                     TensorView log_sum, const Documents& documents);
/// As cuda::attention_backward, likewise. dQ is summed by atomics unless Exec::Impl::deterministic:
/// then through a buffer of batch heads S^2 elements in the arena of scratch; for documents false.
bool cudnn_attention_backward(Exec&, const AttentionShape&, ConstTensorView qkv,
                              ConstTensorView out, ConstTensorView log_sum, ConstTensorView dout,
                              TensorView dqkv, const Documents& documents);

}  // namespace moiety::ops::cuda
