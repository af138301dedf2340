// The backends of gemm and of the grouped products, called after the checks of gemm.cc and
// grouped_gemm.cc.
#pragma once

#include <moiety/ops.h>

#include "core/ops/gemm.h"

namespace moiety::ops {

struct Fp8GroupedProduct;  // core/ops/grouped_fp8.h

/// c = op(a) op(b) for the slots of each segment: a [N, K], w [L, K, J] (or its transpose), c
/// [N, J].
struct GroupedProduct {
  Segments segments;
  ConstTensorView a;  // matrix [N, K]
  ConstTensorView w;  // contiguous [L, rows, columns]
  TensorView out;     // matrix [N, J]
  bool transposed = false;
};

/// grad [L, K, J] (+)= sum over an expert's slots of a^T dout, in f32; rounded once, or twice with
/// accumulate.
struct GroupedGradient {
  Segments segments;
  ConstTensorView a;     // matrix [N, K]
  ConstTensorView dout;  // matrix [N, J]
  TensorView grad;       // [L, K, J], f32 or like a
  bool accumulate = false;
  ConstTensorView a_row = {}, dout_row = {};  // i32 [N]: that operand has rows, not slots
};

/// expert_up and expert_down_backward of <moiety/expert_ops.h>, gated or not.
struct ExpertUp {
  const ExpertBatch& batch;
  Activation activation;
  ConstTensorView x, w, bias;  // w [L, D, H or 2H]
  TensorView h, a;
  bool gated = false;
};
struct ExpertDownBackward {
  const ExpertBatch& batch;
  Activation activation;
  ConstTensorView dout, w, h;
  TensorView dh, a, dweight;
  bool gated = false;
};

/// All slots in one segment, and the host knows it: a plain product.
bool is_dense(const Segments& segments, int64_t slots, int64_t experts);

namespace cpu {
void gemm(Exec&, ConstTensorView a, ConstTensorView b, TensorView c, const GemmForm& form);
void grouped_gemm(Exec&, const GroupedProduct&);
void grouped_gemm_grad(Exec&, const GroupedGradient&);
}  // namespace cpu

namespace cuda {
void gemm(Exec&, ConstTensorView a, ConstTensorView b, TensorView c, const GemmForm& form);
void grouped_gemm(Exec&, const GroupedProduct&);
void grouped_gemm_grad(Exec&, const GroupedGradient&);

/// h = a b + bias (f32 or empty), c = its GELU in the tanh form, in one pass; or false where
/// cuBLASLt has none. bf16.
bool gemm_gelu(Exec&, ConstTensorView a, ConstTensorView b, ConstTensorView bias, TensorView h,
               TensorView c);
/// c = a b^T * GELU'(h), likewise.
bool gemm_gelu_gradient(Exec&, ConstTensorView a, ConstTensorView b, ConstTensorView h,
                        TensorView c);

/// Computes the product with the kernels of compute capability 9.0, or returns false where the
/// card, the dtype or the alignment is not theirs.
bool grouped_gemm_sm90(Exec&, const GroupedProduct&);
bool grouped_gemm_grad_sm90(Exec&, const GroupedGradient&);
bool grouped_fp8_sm90(Exec&, const Fp8GroupedProduct&);
/// In FP8 where the part of the model runs so.
bool expert_up_sm90(Exec&, const ExpertUp&);
bool expert_down_backward_sm90(Exec&, const ExpertDownBackward&);

/// For tests: every card takes the portable kernels while this is on.
MOIETY_API void force_portable_kernels(bool on);
}  // namespace cuda

}  // namespace moiety::ops
