// OpenBLAS behind one function. Built only where CMake found it (kOpenBlas).
#pragma once

#include "core/ops/gemm_cpu.h"

namespace moiety::ops::cpu {

/// On the calling thread alone; m, n, k > 0.
void multiply_openblas(const Product& product);

}  // namespace moiety::ops::cpu
