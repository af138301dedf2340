// What cuBLASLt is to do for one shape: descriptors and the algorithm, chosen once and kept, so
// that a captured step and a streamed one run the same kernels.
#pragma once

#include <cublasLt.h>

#include <compare>
#include <cstdint>
#include <map>
#include <memory>

#include <moiety/tensor.h>

namespace moiety::ops::cuda {

/// What happens to the product before it is stored. The tanh form of GELU alone.
enum class GemmEpilogue : uint8_t {
  kNone,
  kGelu,          // aux = product + bias, c = GELU(aux)
  kGeluGradient,  // c = product * GELU'(aux)
};

/// Everything that the choice of an algorithm may depend on.
struct GemmKey {
  int64_t m, n, k, a_pitch, b_pitch, c_pitch;
  uint32_t a_alignment, b_alignment, c_alignment;
  DType in, out;
  bool transpose_a, transpose_b, accumulate;
  uint32_t bias_alignment;  // 0: no bias
  GemmEpilogue epilogue;
  int64_t aux_pitch;
  uint32_t aux_alignment;  // 0: no aux
  auto operator<=>(const GemmKey&) const = default;
};

struct DestroyDescriptor {
  void operator()(cublasLtMatmulDescOpaque_t* d) const { cublasLtMatmulDescDestroy(d); }
  void operator()(cublasLtMatrixLayoutOpaque_t* d) const { cublasLtMatrixLayoutDestroy(d); }
  void operator()(cublasLtMatmulPreferenceOpaque_t* d) const { cublasLtMatmulPreferenceDestroy(d); }
};
template <class T>
using Descriptor = std::unique_ptr<T, DestroyDescriptor>;

struct GemmPlan {
  Descriptor<cublasLtMatmulDescOpaque_t> product;
  Descriptor<cublasLtMatrixLayoutOpaque_t> a, b, c;
  cublasLtMatmulAlgo_t algorithm = {};
  void set_bias(const void* bias) const;  ///< [n] of the output's dtype, for the next call
  void set_aux(const void* aux) const;    ///< [m, n] of the output's dtype, likewise
};

/// One table a device, attached to its context.
class GemmPlans {
 public:
  /// Asks cuBLASLt's heuristic at the first request of a key. Null where it has no algorithm.
  const GemmPlan* find(cublasLtHandle_t lt, const GemmKey& key, const void* bias, const void* aux,
                       size_t workspace_bytes);

 private:
  std::map<GemmKey, std::unique_ptr<GemmPlan>> plans_;
};

}  // namespace moiety::ops::cuda
