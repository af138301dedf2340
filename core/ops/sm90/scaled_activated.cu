// The first product of an expert function with its activation, of e4m3.
#include "core/ops/sm90/finish_activation.cuh"
#include "core/ops/sm90/launch.cuh"
#include "core/ops/sm90/scaled.h"
#include "core/ops/sm90/tile_table.h"

namespace moiety::ops::sm90 {

namespace {

using T = __nv_bfloat16;

template <Gather kGather, class Finish>
void run_finish(const ActivatedProblem& p, cudaStream_t stream) {
  const Matrix &h = p.product.out, &a = p.activated;
  launch_product<
      GroupedKernel<Form::kTransposedProduct, __nv_fp8_e4m3, ScaledTile, kGather, Finish>>(
      p.product, a.columns,
      {static_cast<T*>(h.data), static_cast<T*>(a.data), h.pitch, a.pitch, p.bias,
       static_cast<int>(a.columns), p.activation},
      stream);
}

template <Gather kGather>
void run_gather(const ActivatedProblem& p, cudaStream_t stream) {
  p.gated ? run_finish<kGather, StoreGated<T>>(p, stream)
          : run_finish<kGather, StoreActivated<T>>(p, stream);
}

}  // namespace

void run_scaled(const ActivatedProblem& p, cudaStream_t stream) {
  p.product.row != nullptr ? run_gather<Gather::kA>(p, stream)
                           : run_gather<Gather::kNone>(p, stream);
}

}  // namespace moiety::ops::sm90
