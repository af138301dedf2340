// The product that brings an activation's gradient, of e5m2, with the activation's backward.
#include "core/ops/sm90/finish_activation.cuh"
#include "core/ops/sm90/launch.cuh"
#include "core/ops/sm90/scaled.h"
#include "core/ops/sm90/tile_table.h"

namespace moiety::ops::sm90 {

namespace {

using T = __nv_bfloat16;

template <Gather kGather, bool kTwoHalves>
void run_halves(const ActivatedBackwardProblem& p, cudaStream_t stream) {
  using Kernel = GroupedKernel<Form::kTransposedProduct, __nv_fp8_e5m2, ScaledTile, kGather,
                               ActivationBackward<T, kTwoHalves>>;
  const Matrix &dh = p.product.out, &a = p.activated;
  launch_product<Kernel>(p.product, a.columns,
                         {static_cast<const T*>(p.h.data), static_cast<T*>(dh.data),
                          static_cast<T*>(a.data), p.h.pitch, dh.pitch, a.pitch, p.weight,
                          p.dot_parts, dot_parts(p), static_cast<int>(a.columns), p.activation},
                         stream);
}

template <Gather kGather>
void run_gather(const ActivatedBackwardProblem& p, cudaStream_t stream) {
  p.gated ? run_halves<kGather, true>(p, stream) : run_halves<kGather, false>(p, stream);
}

}  // namespace

void run_scaled(const ActivatedBackwardProblem& p, cudaStream_t stream) {
  p.product.row != nullptr ? run_gather<Gather::kA>(p, stream)
                           : run_gather<Gather::kNone>(p, stream);
}

}  // namespace moiety::ops::sm90
