// Gradients of the experts' matrices.
#include "core/ops/sm90/launch.cuh"
#include "core/ops/sm90/tile_table.h"

namespace moiety::ops::sm90 {

namespace {

template <class T, class Out, Gather kGather, class Shape, class Store>
void run_shape(const GradientProblem& p, cudaStream_t stream) {
  launch_gradient<GroupedKernel<Form::kGradient, T, Shape, kGather, Store>>(p, stream);
}

/// A gathered operand is the narrower side of its tile: the copy engine brings the other one.
template <class T, class Out>
void run_result(const GradientProblem& p, cudaStream_t stream) {
  using LargeBoxes = StoreBoxes<Out, 16, 4>;
  if (p.a_row != nullptr) return run_shape<T, Out, Gather::kA, StackedTile, LargeBoxes>(p, stream);
  if (p.dout_row != nullptr)
    return run_shape<T, Out, Gather::kB, TallTile, StoreBoxes<Out>>(p, stream);
  run_shape<T, Out, Gather::kNone, StackedTile, LargeBoxes>(p, stream);
}

template <class T>
void run_numbers(const GradientProblem& p, cudaStream_t stream) {
  p.result == Number::kF32 ? run_result<T, float>(p, stream) : run_result<T, T>(p, stream);
}

}  // namespace

bool accepts(const GradientProblem& p) {
  const bool one_gathered = p.a_row == nullptr || p.dout_row == nullptr;
  const Matrix grad{p.grad, p.a.columns, p.dout.columns, p.dout.columns};
  return one_gathered && operand_fits(p.a) && operand_fits(p.dout) && result_fits(grad, p.result) &&
         p.segments.number <= kMaxSegments;
}

void run(const GradientProblem& p, cudaStream_t stream) {
  p.operands == Number::kBF16 ? run_numbers<__nv_bfloat16>(p, stream)
                              : run_numbers<__half>(p, stream);
}

}  // namespace moiety::ops::sm90
