// One-thread products by OpenBLAS. Its own threads stay off: the core's pool cuts the work, so that
// the bits do not depend on the number of threads.
#include "core/ops/gemm_openblas.h"

#include <cblas.h>

namespace moiety::ops::cpu {

void multiply_openblas(const Product& p) {
  static const bool one_thread = (openblas_set_num_threads(1), true);
  static_cast<void>(one_thread);
  const auto size = [](int64_t n) { return static_cast<blasint>(n); };
  // A matrix of one row may have any pitch; BLAS wants at least the width.
  const auto pitch = [&](int64_t given, int64_t width) { return size(std::max(given, width)); };
  cblas_sgemm(CblasRowMajor, p.a_transposed ? CblasTrans : CblasNoTrans,
              p.b_transposed ? CblasTrans : CblasNoTrans, size(p.m), size(p.n), size(p.k), 1.f, p.a,
              pitch(p.a_pitch, p.a_transposed ? p.m : p.k), p.b,
              pitch(p.b_pitch, p.b_transposed ? p.k : p.n), p.accumulate ? 1.f : 0.f, p.c,
              pitch(p.c_pitch, p.n));
}

}  // namespace moiety::ops::cpu
