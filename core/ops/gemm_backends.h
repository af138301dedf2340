// The backends of gemm and of the grouped products, called after the checks of gemm.cc and
// grouped_gemm.cc.
#pragma once

#include <moiety/ops.h>

#include "core/ops/gemm.h"

namespace moiety::ops {

/// c = op(a) op(b) for the slots of each segment: a [N, K], w [L, K, J] (or its transpose), c
/// [N, J].
struct GroupedProduct {
  Segments segments;
  ConstTensorView a;  // matrix [N, K]
  ConstTensorView w;  // contiguous [L, rows, columns]
  TensorView out;     // matrix [N, J]
  bool transposed = false;
};

/// grad [L, K, J] (+)= sum over an expert's slots of a^T dout.
struct GroupedGradient {
  Segments segments;
  ConstTensorView a;     // matrix [N, K]
  ConstTensorView dout;  // matrix [N, J]
  TensorView grad;       // f32 [L, K, J]
  bool accumulate = false;
};

namespace cpu {
void gemm(Exec&, ConstTensorView a, ConstTensorView b, TensorView c, const GemmForm& form);
void grouped_gemm(Exec&, const GroupedProduct&);
void grouped_gemm_grad(Exec&, const GroupedGradient&);
}  // namespace cpu

namespace cuda {
void gemm(Exec&, ConstTensorView a, ConstTensorView b, TensorView c, const GemmForm& form);
void grouped_gemm(Exec&, const GroupedProduct&);
void grouped_gemm_grad(Exec&, const GroupedGradient&);
}  // namespace cuda

}  // namespace moiety::ops
