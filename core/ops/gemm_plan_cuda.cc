// Choice of cuBLASLt's algorithms.
#include "core/ops/gemm_plan_cuda.h"

#include "core/base/check.h"
#include "core/device/cuda_check.h"

namespace moiety::ops::cuda {

namespace {

cudaDataType_t cuda_type(DType dtype) {
  switch (dtype) {
    case DType::kBF16: return CUDA_R_16BF;
    case DType::kF16: return CUDA_R_16F;
    default: return CUDA_R_32F;
  }
}

/// A row-major matrix [rows, columns] seen as the column-major one [columns, rows].
Descriptor<cublasLtMatrixLayoutOpaque_t> layout(DType dtype, int64_t rows, int64_t columns,
                                                int64_t pitch) {
  cublasLtMatrixLayout_t made = nullptr;
  MOIETY_CUBLAS_CHECK(cublasLtMatrixLayoutCreate(
      &made, cuda_type(dtype), static_cast<uint64_t>(columns), static_cast<uint64_t>(rows), pitch));
  return Descriptor<cublasLtMatrixLayoutOpaque_t>(made);
}

cublasLtEpilogue_t epilogue_of(const GemmKey& key) {
  const bool bias = key.bias_alignment > 0;
  switch (key.epilogue) {
    case GemmEpilogue::kGelu:
      return bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    case GemmEpilogue::kGeluGradient: return CUBLASLT_EPILOGUE_DGELU;
    default: return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  }
}

Descriptor<cublasLtMatmulDescOpaque_t> product_of(const GemmKey& key) {
  cublasLtMatmulDesc_t made = nullptr;
  // Plain f32 arithmetic: TF32 would need the FAST_TF32 compute type.
  MOIETY_CUBLAS_CHECK(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Descriptor<cublasLtMatmulDescOpaque_t> product(made);
  const cublasOperation_t first = key.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t second = key.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  MOIETY_CUBLAS_CHECK(
      cublasLtMatmulDescSetAttribute(made, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first));
  MOIETY_CUBLAS_CHECK(
      cublasLtMatmulDescSetAttribute(made, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second));
  const cublasLtEpilogue_t epilogue = epilogue_of(key);
  MOIETY_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(made, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                                     sizeof epilogue));
  if (key.aux_alignment > 0) {
    MOIETY_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(made, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD,
                                                       &key.aux_pitch, sizeof key.aux_pitch));
  }
  return product;
}

Descriptor<cublasLtMatmulPreferenceOpaque_t> preference_of(const GemmKey& key,
                                                           size_t workspace_bytes) {
  cublasLtMatmulPreference_t made = nullptr;
  MOIETY_CUBLAS_CHECK(cublasLtMatmulPreferenceCreate(&made));
  Descriptor<cublasLtMatmulPreferenceOpaque_t> preference(made);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    MOIETY_CUBLAS_CHECK(
        cublasLtMatmulPreferenceSetAttribute(made, attribute, &value, sizeof value));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{workspace_bytes});
  // Split sums meet in the workspace, in f32 and in a fixed order; in place they would not.
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.b_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.a_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.c_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.c_alignment);
  return preference;
}

}  // namespace

void GemmPlan::set_bias(const void* bias) const {
  MOIETY_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(
      product.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
}

void GemmPlan::set_aux(const void* aux) const {
  MOIETY_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(
      product.get(), CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &aux, sizeof aux));
}

const GemmPlan* GemmPlans::find(cublasLtHandle_t lt, const GemmKey& key, const void* bias,
                                const void* aux, size_t workspace_bytes) {
  const auto known = plans_.find(key);
  if (known != plans_.end()) return known->second.get();
  auto made = std::make_unique<GemmPlan>();
  GemmPlan& plan = *made;
  plan.product = product_of(key);
  plan.a = key.transpose_a ? layout(key.in, key.k, key.m, key.a_pitch)
                           : layout(key.in, key.m, key.k, key.a_pitch);
  plan.b = key.transpose_b ? layout(key.in, key.n, key.k, key.b_pitch)
                           : layout(key.in, key.k, key.n, key.b_pitch);
  plan.c = layout(key.out, key.m, key.n, key.c_pitch);
  if (key.bias_alignment > 0) plan.set_bias(bias);  // the heuristic looks at the addresses
  if (key.aux_alignment > 0) plan.set_aux(aux);
  const auto preference = preference_of(key, workspace_bytes);
  cublasLtMatmulHeuristicResult_t best = {};
  int found = 0;
  const cublasStatus_t result = cublasLtMatmulAlgoGetHeuristic(
      lt, plan.product.get(), plan.b.get(), plan.a.get(), plan.c.get(), plan.c.get(),
      preference.get(), 1, &best, &found);
  if (result != CUBLAS_STATUS_NOT_SUPPORTED) MOIETY_CUBLAS_CHECK(result);
  plan.algorithm = best.algo;
  if (found == 0 || best.state != CUBLAS_STATUS_SUCCESS) made = nullptr;
  return plans_.emplace(key, std::move(made)).first->second.get();
}

}  // namespace moiety::ops::cuda
