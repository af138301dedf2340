// Dense products. Rows may be strided; inner strides are 1. Sums in f32.
#pragma once

#include <moiety/exec.h>

namespace moiety::ops {

struct GemmForm {
  bool transpose_a = false, transpose_b = false;
  bool accumulate = false;    // c += instead of c =
  ConstTensorView bias = {};  // f32 [N], added to every row; not with accumulate
};

/// c [M, N] = op(a) op(b). a and b share a dtype (f32, bf16, f16) and c has it too or is f32; or
/// one is f32 beside a narrower one, and c is f32; or both are f32 and c is narrower. What is f32
/// counts in full, on CUDA by tensor cores too (core/ops/gemm_split_cuda.h). Any of M, N, K may be
/// 0. On CUDA cuBLASLt; on the CPU the core's own kernels (core/ops/gemm_batch_cpu.h). Equal bits
/// for any number of threads. With a bias the CPU rounds the product to c's dtype before it adds;
/// CUDA adds in f32, the bias rounded to c's dtype.
MOIETY_API void gemm(Exec&, ConstTensorView a, ConstTensorView b, TensorView c,
                     const GemmForm& form = {});

}  // namespace moiety::ops
