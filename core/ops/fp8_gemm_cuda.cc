// Products in 8-bit floats by cuBLASLt (its documentation, "128-element 1D and 128x128 2D Block
// Scaling"). Row-major c = a b^T is computed as the column-major c^T = b a^T: b [N, K] seen as the
// column-major [K, N] is cuBLASLt's first operand, transposed, and a its second: the one form in
// which it multiplies 8-bit floats.
#include <cublasLt.h>

#include <compare>
#include <map>
#include <memory>

#include "core/device/context_impl.h"
#include "core/device/cuda_check.h"
#include "core/device/exec_impl.h"
#include "core/ops/fp8.h"
#include "core/ops/gemm_plan_cuda.h"

namespace moiety::ops::cuda {

namespace {

/// Everything that the choice of an algorithm may depend on.
struct Fp8Key {
  int64_t m, n, k, c_pitch;
  DType a, b, c;
  Fp8Scaling a_scaling, b_scaling;
  bool accumulate;
  auto operator<=>(const Fp8Key&) const = default;
};

cudaDataType_t cuda_type(DType dtype) {
  switch (dtype) {
    case DType::kF8E4M3: return CUDA_R_8F_E4M3;
    case DType::kF8E5M2: return CUDA_R_8F_E5M2;
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

template <class T>
void set(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute, T value) {
  MOIETY_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(product, attribute, &value, sizeof value));
}

int32_t mode_of(Fp8Scaling scaling) {
  return scaling == Fp8Scaling::kPieces ? CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F
                                        : CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
}

struct Fp8Plan {
  Descriptor<cublasLtMatmulDescOpaque_t> product;
  Descriptor<cublasLtMatrixLayoutOpaque_t> a, b, c;
  cublasLtMatmulAlgo_t algorithm = {};

  void set_scales(const Fp8Matrix& of_a, const Fp8Matrix& of_b) const {
    set<const void*>(product.get(), CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, of_b.scales.ptr);
    set<const void*>(product.get(), CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, of_a.scales.ptr);
  }
};

Descriptor<cublasLtMatmulDescOpaque_t> product_of(const Fp8Key& key) {
  cublasLtMatmulDesc_t made = nullptr;
  MOIETY_CUBLAS_CHECK(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Descriptor<cublasLtMatmulDescOpaque_t> product(made);
  set(made, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(made, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
  set(made, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, mode_of(key.b_scaling));
  set(made, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, mode_of(key.a_scaling));
  return product;
}

Descriptor<cublasLtMatmulPreferenceOpaque_t> preference_of(size_t workspace_bytes) {
  cublasLtMatmulPreference_t made = nullptr;
  MOIETY_CUBLAS_CHECK(cublasLtMatmulPreferenceCreate(&made));
  Descriptor<cublasLtMatmulPreferenceOpaque_t> preference(made);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    MOIETY_CUBLAS_CHECK(
        cublasLtMatmulPreferenceSetAttribute(made, attribute, &value, sizeof value));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{workspace_bytes});
  // As in gemm_plan_cuda.cc: split sums meet in a fixed order.
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  for (const auto alignment :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    prefer(alignment, uint32_t{16});
  }
  return preference;
}

/// One table a device, attached to its context.
class Fp8Plans {
 public:
  /// Asks cuBLASLt's heuristic at the first request of a key. Null where it has no algorithm.
  const Fp8Plan* find(cublasLtHandle_t lt, const Fp8Key& key, const Fp8Matrix& a,
                      const Fp8Matrix& b, size_t workspace_bytes) {
    const auto known = plans_.find(key);
    if (known != plans_.end()) return known->second.get();
    auto made = std::make_unique<Fp8Plan>();
    made->product = product_of(key);
    made->a = layout(key.a, key.m, key.k, key.k);
    made->b = layout(key.b, key.n, key.k, key.k);
    made->c = layout(key.c, key.m, key.n, key.c_pitch);
    made->set_scales(a, b);  // the heuristic looks at the addresses
    const auto preference = preference_of(workspace_bytes);
    cublasLtMatmulHeuristicResult_t best = {};
    int found = 0;
    const cublasStatus_t result = cublasLtMatmulAlgoGetHeuristic(
        lt, made->product.get(), made->b.get(), made->a.get(), made->c.get(), made->c.get(),
        preference.get(), 1, &best, &found);
    if (result != CUBLAS_STATUS_NOT_SUPPORTED) MOIETY_CUBLAS_CHECK(result);
    made->algorithm = best.algo;
    if (found == 0 || best.state != CUBLAS_STATUS_SUCCESS) made = nullptr;
    return plans_.emplace(key, std::move(made)).first->second.get();
  }

 private:
  std::map<Fp8Key, std::unique_ptr<Fp8Plan>> plans_;
};

bool by_16_bytes(const void* at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; }

/// Pieces' scales lie by piece: all rows of a piece are neighbours.
bool scales_fit(const Fp8Matrix& m) {
  if (!by_16_bytes(m.scales.ptr) || !by_16_bytes(m.values.ptr)) return false;
  if (m.scaling == Fp8Scaling::kBlocks) return m.scales.stride[0] % 4 == 0;
  return m.scales.stride[0] == 1 && m.scales.stride[1] == m.rows();
}

bool fits(const Fp8Matrix& a, const Fp8Matrix& b, const TensorView& c, int64_t c_pitch) {
  const bool both_wide = a.format() == DType::kF8E5M2 && b.format() == DType::kF8E5M2;
  return !both_wide && a.depth() > 0 && a.depth() % 16 == 0 && a.rows() % 16 == 0 &&
         b.rows() % 16 == 0 && scales_fit(a) && scales_fit(b) && by_16_bytes(c.ptr) &&
         c_pitch * size_of(c.dtype) % 16 == 0;
}

}  // namespace

bool fp8_gemm(Exec& exec, const Fp8Matrix& a, const Fp8Matrix& b, TensorView c, bool accumulate) {
  DeviceContext::Impl& context = exec.impl().context->impl();
  const int64_t c_pitch = std::max(c.stride[0], c.dim(1));
  if (context.compute_capability() != 90 || !fits(a, b, c, c_pitch)) return false;
  const Fp8Key key{a.rows(),   b.rows(), a.depth(), c_pitch,   a.format(),
                   b.format(), c.dtype,  a.scaling, b.scaling, accumulate};
  auto* lt = static_cast<cublasLtHandle_t>(context.cublas_lt());
  const TensorView workspace = context.workspace();
  const auto workspace_bytes = static_cast<size_t>(workspace.numel());
  const Fp8Plan* plan = context.attached<Fp8Plans>().find(lt, key, a, b, workspace_bytes);
  if (plan == nullptr) return false;
  plan->set_scales(a, b);
  const float one = 1, beta = accumulate ? 1.f : 0.f;
  MOIETY_CUBLAS_CHECK(cublasLtMatmul(lt, plan->product.get(), &one, b.values.ptr, plan->b.get(),
                                     a.values.ptr, plan->a.get(), &beta, c.ptr, plan->c.get(),
                                     c.ptr, plan->c.get(), &plan->algorithm, workspace.ptr,
                                     workspace_bytes, static_cast<cudaStream_t>(exec.stream())));
  return true;
}

}  // namespace moiety::ops::cuda
