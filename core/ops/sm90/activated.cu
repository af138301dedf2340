// The first product of an expert function with its activation.
#include "core/ops/sm90/finish_activation.cuh"
#include "core/ops/sm90/launch.cuh"
#include "core/ops/sm90/scaled.h"
#include "core/ops/sm90/tile_table.h"

namespace moiety::ops::sm90 {

namespace {

using T = __nv_bfloat16;

template <Gather kGather, class Finish, class Shape>
void run_shape(const ActivatedProblem& p, cudaStream_t stream) {
  const Matrix &h = p.product.out, &a = p.activated;
  launch_product<GroupedKernel<Form::kProduct, T, Shape, kGather, Finish>>(
      p.product, a.columns,
      {static_cast<T*>(h.data), static_cast<T*>(a.data), h.pitch, a.pitch, p.bias,
       static_cast<int>(a.columns), p.activation},
      stream);
}

template <Gather kGather>
void run_gather(const ActivatedProblem& p, cudaStream_t stream) {
  p.gated ? run_shape<kGather, StoreGated<T>, StackedTile>(p, stream)
          : run_shape<kGather, StoreActivated<T>, StackedTile>(p, stream);
}

}  // namespace

bool accepts(const ActivatedProblem& p) {
  const bool numbers = is_scaled(p.product.operands)
                           ? !p.gated || p.activated.columns % kGatedColumns == 0
                           : p.product.operands == Number::kBF16 && !p.product.transposed;
  return numbers && reinterpret_cast<uintptr_t>(p.bias) % 16 == 0 && fits(p.product) &&
         p.product.result == Number::kBF16 && result_fits(p.product.out, Number::kBF16) &&
         result_fits(p.activated, Number::kBF16);
}

void run(const ActivatedProblem& p, cudaStream_t stream) {
  if (is_scaled(p.product.operands)) return run_scaled(p, stream);
  p.product.row != nullptr ? run_gather<Gather::kA>(p, stream)
                           : run_gather<Gather::kNone>(p, stream);
}

}  // namespace moiety::ops::sm90
