// Which kernels compute attention on CUDA: cuDNN's where they take the tensors, else the core's
// own. Both leave the same log_sum, so forward and backward choose apart. Packed documents
// are the core's: cuDNN's ragged backward was wrong on an H200 (docs/decisions/0032).
#include <cstdint>

#include "core/device/context_impl.h"
#include "core/device/exec_impl.h"
#include "core/ops/attention_backend.h"
#include "core/ops/attention_cudnn.h"

namespace moiety::ops::cuda {

namespace {

/// cuDNN reads and writes 16 bytes at a time, and checks no address itself.
bool in_vectors(const ConstTensorView& x) {
  return x.stride[0] % 8 == 0 && reinterpret_cast<uintptr_t>(x.raw()) % 16 == 0;
}

bool try_cudnn(const Exec& exec, const AttentionShape& s, const ConstTensorView& qkv,
               const ConstTensorView& out) {
  return !s.own_kernels && s.dropout == 0 && s.sequence > 1 &&
         (qkv.dtype == DType::kBF16 || qkv.dtype == DType::kF16) && s.head_dim % 8 == 0 &&
         s.values() % 8 == 0 && in_vectors(qkv) && in_vectors(out) &&
         exec.impl().context->impl().compute_capability() >= 80;
}

}  // namespace

void attention(Exec& exec, const AttentionShape& shape, ConstTensorView qkv, TensorView out,
               TensorView log_sum, const Documents& documents) {
  const bool cudnn = !documents && try_cudnn(exec, shape, qkv, out) &&
                     cudnn_attention(exec, shape, qkv, out, log_sum, documents);
  if (cudnn && !documents) return;
  tiled_attention(exec, shape, qkv, out, log_sum, documents, /*unlisted_only=*/cudnn);
}

void attention_backward(Exec& exec, const AttentionShape& shape, ConstTensorView qkv,
                        ConstTensorView out, ConstTensorView log_sum, ConstTensorView dout,
                        TensorView dqkv, const Documents& documents) {
  const bool cudnn =
      !documents && try_cudnn(exec, shape, qkv, out) && in_vectors(dout) && in_vectors(dqkv) &&
      cudnn_attention_backward(exec, shape, qkv, out, log_sum, dout, dqkv, documents);
  if (cudnn && !documents) return;
  tiled_attention_backward(exec, shape, qkv, out, log_sum, dout, dqkv, documents,
                           /*unlisted_only=*/cudnn);
}

}  // namespace moiety::ops::cuda
