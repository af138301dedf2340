// Dense products by cuBLASLt. Row-major c = op(a) op(b) is computed as the column-major transpose,
// c^T = op(b)^T op(a)^T, with b as the first operand.
#include <cublasLt.h>

#include "core/base/check.h"
#include "core/device/context_impl.h"
#include "core/device/cuda_check.h"
#include "core/device/exec_impl.h"
#include "core/ops/elementwise.h"
#include "core/ops/gemm_backends.h"
#include "core/ops/gemm_plan_cuda.h"
#include "core/ops/gemm_split_cuda.h"

namespace moiety::ops::cuda {

namespace {

/// The largest power of two up to 256 that divides an address.
uint32_t alignment_of(const void* at) {
  uint32_t alignment = 256;
  while (reinterpret_cast<uintptr_t>(at) % alignment != 0) alignment /= 2;
  return alignment;
}

int64_t pitch_of(const ConstTensorView& v) { return std::max(v.stride[0], v.dim(1)); }

/// The bias as the epilogue reads it: in c's dtype.
ConstTensorView bias_of(Exec& exec, const ConstTensorView& bias, DType dtype) {
  if (dtype == DType::kF32) return bias;
  const TensorView rounded = exec.scratch(dtype, {bias.dim(0)});
  copy(exec, bias, rounded);
  return rounded;
}

/// A product over nothing is zero.
void clear(Exec& exec, const TensorView& c) {
  const auto element = static_cast<size_t>(size_of(c.dtype));
  MOIETY_CUDA_CHECK(cudaMemset2DAsync(
      c.ptr, static_cast<size_t>(pitch_of(c)) * element, 0, static_cast<size_t>(c.dim(1)) * element,
      static_cast<size_t>(c.dim(0)), static_cast<cudaStream_t>(exec.stream())));
}

/// c = epilogue(op(a) op(b)), or false where cuBLASLt has no algorithm. k > 0.
bool product(Exec& exec, ConstTensorView a, ConstTensorView b, TensorView c, const GemmForm& form,
             GemmEpilogue epilogue, ConstTensorView aux) {
  const ConstTensorView bias = form.bias ? bias_of(exec, form.bias, c.dtype) : form.bias;
  const GemmKey key{c.dim(0),
                    c.dim(1),
                    a.dim(form.transpose_a ? 0 : 1),
                    pitch_of(a),
                    pitch_of(b),
                    pitch_of(c),
                    alignment_of(a.raw()),
                    alignment_of(b.raw()),
                    alignment_of(c.ptr),
                    a.dtype,
                    c.dtype,
                    form.transpose_a,
                    form.transpose_b,
                    form.accumulate,
                    bias ? alignment_of(bias.raw()) : 0,
                    epilogue,
                    aux ? pitch_of(aux) : 0,
                    aux ? alignment_of(aux.raw()) : 0};
  DeviceContext::Impl& context = exec.impl().context->impl();
  auto* lt = static_cast<cublasLtHandle_t>(context.cublas_lt());
  const TensorView workspace = context.workspace();
  const GemmPlan* plan = context.attached<GemmPlans>().find(lt, key, bias.raw(), aux.raw(),
                                                            static_cast<size_t>(workspace.numel()));
  if (plan == nullptr) return false;
  if (bias) plan->set_bias(bias.raw());
  if (aux) plan->set_aux(aux.raw());
  const float one = 1, beta = form.accumulate ? 1.f : 0.f;
  MOIETY_CUBLAS_CHECK(cublasLtMatmul(
      lt, plan->product.get(), &one, b.raw(), plan->b.get(), a.raw(), plan->a.get(), &beta, c.ptr,
      plan->c.get(), c.ptr, plan->c.get(), &plan->algorithm, workspace.ptr,
      static_cast<size_t>(workspace.numel()), static_cast<cudaStream_t>(exec.stream())));
  return true;
}

/// What the epilogues of GELU ask of the matrix that they read or write beside c.
bool fits_beside(const ConstTensorView& aux, const TensorView& c) {
  return aux.dtype == DType::kBF16 && c.dtype == DType::kBF16 && pitch_of(aux) % 8 == 0 &&
         alignment_of(aux.raw()) >= 16;
}

}  // namespace

void gemm(Exec& exec, ConstTensorView a, ConstTensorView b, TensorView c, const GemmForm& form) {
  const ArenaScope scope(*exec.impl().scratch);
  const int64_t k = a.dim(form.transpose_a ? 0 : 1);
  if (k == 0) {
    if (!form.accumulate) clear(exec, c);
    if (form.bias) add_bias(exec, form.bias, c);
    return;
  }
  if (operands_differ(a, b, c)) return split_gemm(exec, a, b, c, form);
  if (product(exec, a, b, c, form, GemmEpilogue::kNone, {})) return;
  if (form.bias) {
    GemmForm plain = form;
    plain.bias = {};
    cuda::gemm(exec, a, b, c, plain);
    return add_bias(exec, form.bias, c);
  }
  MOIETY_CHECK(false,
               "gemm: cuBLASLt has no algorithm for [{}, {}] times [{}, {}], {} to {}, pitches {}, "
               "{}, {}",
               c.dim(0), k, k, c.dim(1), name_of(a.dtype), name_of(c.dtype), pitch_of(a),
               pitch_of(b), pitch_of(c));
}

bool gemm_gelu(Exec& exec, ConstTensorView a, ConstTensorView b, ConstTensorView bias, TensorView h,
               TensorView c) {
  const ArenaScope scope(*exec.impl().scratch);
  if (a.dim(1) == 0 || c.numel() == 0 || !fits_beside(h, c)) return false;
  return product(exec, a, b, c, {.bias = bias}, GemmEpilogue::kGelu, h);
}

bool gemm_gelu_gradient(Exec& exec, ConstTensorView a, ConstTensorView b, ConstTensorView h,
                        TensorView c) {
  const ArenaScope scope(*exec.impl().scratch);
  if (a.dim(1) == 0 || c.numel() == 0 || !fits_beside(h, c)) return false;
  return product(exec, a, b, c, {.transpose_b = true}, GemmEpilogue::kGeluGradient, h);
}

}  // namespace moiety::ops::cuda
