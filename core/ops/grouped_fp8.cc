// Grouped products in 8-bit floats: checks, the kernel where there is one, else the reference.
#include "core/ops/grouped_fp8.h"

#include "core/base/check.h"
#include "core/device/build.h"
#include "core/device/exec_impl.h"
#include "core/ops/backend.h"
#include "core/ops/gemm_backends.h"
#include "core/ops/shape_checks.h"

namespace moiety::ops {

namespace {

TensorView dequantized(Exec& exec, const Fp8Matrix& m, DType dtype) {
  const TensorView& v = m.values;
  const TensorView out = v.rank == 2 ? exec.scratch(dtype, {v.dim(0), v.dim(1)})
                                     : exec.scratch(dtype, {v.dim(0), v.dim(1), v.dim(2)});
  dequantize(exec, m, out);
  return out;
}

void reference(Exec& exec, const Fp8GroupedProduct& p) {
  const DType narrow = p.out.dtype == DType::kF32 ? DType::kBF16 : p.out.dtype;
  const DType dtype = exec.is_cuda() ? narrow : DType::kF32;
  ConstTensorView a = dequantized(exec, p.a, dtype);
  if (p.row) {
    ExpertBatch batch;
    static_cast<Segments&>(batch) = p.segments;
    batch.row = p.row;
    const TensorView by_slot = exec.scratch(dtype, {p.out.dim(0), p.a.depth()});
    gather_rows(exec, batch, a, by_slot);
    a = by_slot;
  }
  const GroupedProduct product{p.segments, a, dequantized(exec, p.w, dtype), p.out,
                               /*transposed=*/true};
  MOIETY_BACKEND(exec, grouped_gemm, exec, product);
}

}  // namespace

void grouped_fp8(Exec& exec, const Fp8GroupedProduct& p) {
  const int64_t N = p.out.dim(1), K = p.a.depth();
  check_shape("grouped_fp8", "w", p.w.values, {p.w.values.dim(0), N, K});
  MOIETY_CHECK(p.w.scaling == Fp8Scaling::kBlocks && p.a.scaling == Fp8Scaling::kPieces,
               "grouped_fp8: a is to be scaled by pieces, w by blocks");
  MOIETY_CHECK(p.row || p.a.rows() == p.out.dim(0),
               "grouped_fp8: {} rows and {} slots, but no row of each slot", p.a.rows(),
               p.out.dim(0));
  if constexpr (kCuda) {
    if (exec.is_cuda() && cuda::grouped_fp8_sm90(exec, p)) return;
  }
  const ArenaScope scope(*exec.impl().scratch);
  reference(exec, p);
}

void grouped_fp8(Exec& exec, const Segments& segments, ConstTensorView row, ConstTensorView a,
                 ConstTensorView w, TensorView out, Transpose transpose) {
  const ArenaScope scope(*exec.impl().scratch);
  const bool transposed = transpose == Transpose::kYes;
  const DType format = transposed ? DType::kF8E5M2 : DType::kF8E4M3;
  grouped_fp8(exec, {segments, row, quantize_rows(exec, a, format, Fp8ScaleOrder::kByRow),
                     quantize_blocks(exec, w, transposed ? Transpose::kNo : Transpose::kYes), out});
}

}  // namespace moiety::ops
