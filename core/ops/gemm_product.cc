// One-thread products: chooses between OpenBLAS and the core's own kernel by size alone.
#include <moiety/exec.h>

#include "core/device/build.h"
#include "core/ops/gemm_cpu.h"
#include "core/ops/gemm_kernel.h"
#include "core/ops/gemm_openblas.h"

namespace moiety::ops::cpu {

void multiply_portable(const Product& product) {
  static const bool wide = avx2_usable();
  wide ? multiply_avx2(product) : multiply_base(product);
}

void multiply(const Product& p) {
  if (p.m == 0 || p.n == 0) return;
  if (p.k == 0) {
    for (int64_t i = 0; i < p.m && !p.accumulate; ++i) {
      std::fill_n(p.c + i * p.c_pitch, p.n, 0.f);
    }
    return;
  }
  constexpr int64_t kSmall = 1 << 13;  // multiply-adds below which a call costs more than it saves
  if constexpr (kOpenBlas) {
    if (p.m * p.n * p.k >= kSmall) return multiply_openblas(p);
  }
  multiply_portable(p);
}

}  // namespace moiety::ops::cpu
