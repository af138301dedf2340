// Products of slots with their experts' matrices.
#include "core/ops/sm90/launch.cuh"
#include "core/ops/sm90/scaled.h"
#include "core/ops/sm90/tile_table.h"

namespace moiety::ops::sm90 {

namespace {

template <Form kForm, class T, class Out>
void run_form(const ProductProblem& p, cudaStream_t stream) {
  using Kernel = GroupedKernel<kForm, T, StackedTile, Gather::kNone, StoreBoxes<Out>>;
  launch_product<Kernel>(p, p.out.columns,
                         {tensor_map(p.out, 1, p.result, Kernel::Finish::Boxes::kRows),
                          {static_cast<Out*>(p.out.data), p.out.pitch, false}},
                         stream);
}

template <class T, class Out>
void run_result(const ProductProblem& p, cudaStream_t stream) {
  p.transposed ? run_form<Form::kTransposedProduct, T, Out>(p, stream)
               : run_form<Form::kProduct, T, Out>(p, stream);
}

template <class T>
void run_numbers(const ProductProblem& p, cudaStream_t stream) {
  p.result == Number::kF32 ? run_result<T, float>(p, stream) : run_result<T, T>(p, stream);
}

}  // namespace

bool accepts(const ProductProblem& p) {
  const bool numbers = !is_scaled(p.operands) || p.result == Number::kBF16;
  return numbers && p.row == nullptr && fits(p) && result_fits(p.out, p.result);
}

void run(const ProductProblem& p, cudaStream_t stream) {
  if (is_scaled(p.operands)) return run_scaled(p, stream);
  p.operands == Number::kBF16 ? run_numbers<__nv_bfloat16>(p, stream)
                              : run_numbers<__half>(p, stream);
}

}  // namespace moiety::ops::sm90
