// Products of slots in bytes with their experts' matrices.
#include "core/ops/sm90/launch.cuh"
#include "core/ops/sm90/scaled.h"
#include "core/ops/sm90/tile_table.h"

namespace moiety::ops::sm90 {

namespace {

using Out = __nv_bfloat16;

template <class Left>
void run_left(const ProductProblem& p, cudaStream_t stream) {
  using Kernel =
      GroupedKernel<Form::kTransposedProduct, Left, ScaledTile, Gather::kNone, StoreBoxes<Out>>;
  launch_product<Kernel>(p, p.out.columns,
                         {tensor_map(p.out, 1, p.result, Kernel::Finish::Boxes::kRows),
                          {static_cast<Out*>(p.out.data), p.out.pitch, false}},
                         stream);
}

}  // namespace

void run_scaled(const ProductProblem& p, cudaStream_t stream) {
  p.operands == Number::kE4M3 ? run_left<__nv_fp8_e4m3>(p, stream)
                              : run_left<__nv_fp8_e5m2>(p, stream);
}

}  // namespace moiety::ops::sm90
