// Products of slots with their experts' matrices in 8-bit floats: what a kernel of the card
// computes, and the same by ordinary products where there is none.
#pragma once

#include <moiety/ops.h>

#include "core/ops/fp8.h"

namespace moiety::ops {

/// out[n] = a[row[n]] w[g % L]^T for every slot n of each segment g; slots outside are not written.
/// Sums over a piece of 128 in f32, each times both scales, added up in f32.
struct Fp8GroupedProduct {
  Segments segments;    // on the device
  ConstTensorView row;  // i32 [slots]: slot -> row of a, -1 in padding; empty = slot n is row n
  Fp8Matrix a;          // [R, K], E4M3 or E5M2, scales by row: [R, ceil(K / 128)] contiguous
  Fp8Matrix w;          // [L, N, K], E4M3 by blocks; scales as Fp8Matrix says
  TensorView out;       // [slots, N] in the compute dtype or f32, rows may be strided
};

/// Computes it: by the kernels of compute capability 9.0 where slots are rows, out is bf16 and K
/// and N are multiples of 16, else as the ordinary grouped product of dequantised operands (f32 on
/// the CPU, out's dtype or bf16 on CUDA).
MOIETY_API void grouped_fp8(Exec&, const Fp8GroupedProduct&);

/// The same for operands that are not quantised yet. a [R, K] is quantised once a row, whatever the
/// number of slots: as E4M3, or as E5M2 with kYes, where a is a gradient. w is [L, K, N], or with
/// kYes [L, N, K].
MOIETY_API void grouped_fp8(Exec&, const Segments&, ConstTensorView row, ConstTensorView a,
                            ConstTensorView w, TensorView out, Transpose);

}  // namespace moiety::ops
