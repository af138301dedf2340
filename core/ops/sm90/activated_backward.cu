// The product that brings an activation's gradient, with the activation's backward.
#include "core/ops/sm90/finish_activation.cuh"
#include "core/ops/sm90/launch.cuh"
#include "core/ops/sm90/scaled.h"
#include "core/ops/sm90/tile_table.h"

namespace moiety::ops::sm90 {

namespace {

using T = __nv_bfloat16;
using BackwardTile = StackedTile;

template <Gather kGather, bool kTwoHalves>
void run_shape(const ActivatedBackwardProblem& p, cudaStream_t stream) {
  using Kernel = GroupedKernel<Form::kTransposedProduct, T, BackwardTile, kGather,
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
  p.gated ? run_shape<kGather, true>(p, stream) : run_shape<kGather, false>(p, stream);
}

}  // namespace

int dot_parts(const ActivatedBackwardProblem& p) {
  const int tile = is_scaled(p.product.operands) ? ScaledTile::kN : BackwardTile::kN;
  return static_cast<int>(tiles_in(p.activated.columns, tile));
}

bool accepts(const ActivatedBackwardProblem& p) {
  const Number operands = p.product.operands;
  return (operands == Number::kBF16 || is_scaled(operands)) && p.product.transposed &&
         fits(p.product) && p.product.result == Number::kBF16 &&
         result_fits(p.product.out, Number::kBF16) && result_fits(p.h, Number::kBF16) &&
         result_fits(p.activated, Number::kBF16);
}

void run(const ActivatedBackwardProblem& p, cudaStream_t stream) {
  if (is_scaled(p.product.operands)) return run_scaled(p, stream);
  p.product.row != nullptr ? run_gather<Gather::kA>(p, stream)
                           : run_gather<Gather::kNone>(p, stream);
}

}  // namespace moiety::ops::sm90
