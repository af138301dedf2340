// The weighted sum of a token's expert outputs, in the plan's order, and its backward.
#include <moiety/rows.cuh>

#include "core/ops/dtype.h"
#include "core/ops/routing.h"
#include "core/ops/row_cut.h"
#include "core/ops/slot_rows_cuda.cuh"

namespace moiety::ops {

namespace {

/// slot_of [T, per_token]: the slots of each token in the plan's order, -1 where there is none. The
/// plan's own order for token-major plans; for expert-major ones [T, E] is built here.
struct TokenSlots {
  const int32_t* slot;
  int64_t per_token;
};

struct ClearSlots {
  int32_t* slot_of;
  MOIETY_HD void operator()(int64_t i) const { slot_of[i] = -1; }
};

struct Invert {
  const int32_t *index, *slot;
  int32_t* slot_of;
  int64_t C, E;
  MOIETY_HD void operator()(int64_t i) const {
    if (slot[i] >= 0) slot_of[index[i] * E + i / C] = slot[i];
  }
};

TokenSlots token_slots(Exec& exec, const RoutingPlan& plan, PlanLayout layout,
                       const Permutation& permutation, int64_t T) {
  const int32_t* slot = permutation.slot.data<int32_t>();
  if (layout == PlanLayout::kTokenMajor) return {slot, plan.index.dim(1)};
  const int64_t E = plan.index.dim(0), C = plan.index.dim(1);
  int32_t* slot_of = exec.scratch(DType::kI32, {T, E}).data<int32_t>();
  for_each_row(exec, T * E, ClearSlots{slot_of});
  for_each_row(exec, E * C, Invert{plan.index.data<int32_t>(), slot, slot_of, C, E});
  return {slot_of, E};
}

constexpr int kLanes = 64;  // elements summed side by side on the CPU

template <class T>
struct SumSlots {
  TokenSlots slots;
  const float* weight;  // null: 1
  Rows<const T> y;
  Rows<T> out;
  RowCut cut;
  bool accumulate;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t t = cut.row(i), last = cut.end(i);
    for (int64_t begin = cut.begin(i); begin < last; begin += kLanes) {
      const int64_t end = begin + kLanes < last ? begin + kLanes : last;
      float sum[kLanes];
      for (int64_t d = begin; d < end; ++d) {
        sum[d - begin] = accumulate ? static_cast<float>(out[t][d]) : 0.f;
      }
      for (int64_t k = 0; k < slots.per_token; ++k) {
        const int32_t n = slots.slot[t * slots.per_token + k];
        if (n < 0) continue;
        const float w = weight != nullptr ? weight[n] : 1.f;
        for (int64_t d = begin; d < end; ++d) sum[d - begin] += w * static_cast<float>(y[n][d]);
      }
      for (int64_t d = begin; d < end; ++d) out[t][d] = static_cast<T>(sum[d - begin]);
    }
  }
};

void sum_slots(Exec& exec, const TokenSlots& slots, const float* weight, ConstTensorView y,
               bool accumulate, TensorView out) {
  const RowCut cut(exec, out.dim(1));
  with_float(y.dtype, "combine", [&](auto element) {
    using T = decltype(element);
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      const int64_t D = out.dim(1);
      return with_pack<T>(packed(y.rows<T>(), D) && packed(out.rows<T>(), D), [&](auto width) {
        for_each_pack(exec, AllRows{}, out.dim(0), D,
                      SumSlotsPack<T, width>{slots.slot, slots.per_token, weight, y.rows<T>(),
                                             out.rows<T>(), accumulate});
      });
    }
#endif
    for_each_row(exec, out.dim(0) * cut.parts,
                 SumSlots<T>{slots, weight, y.rows<T>(), out.rows<T>(), cut, accumulate});
  });
}

}  // namespace

void combine(Exec& exec, const RoutingPlan& plan, PlanLayout layout, const Permutation& permutation,
             ConstTensorView y, TensorView out) {
  sum_slots(exec, token_slots(exec, plan, layout, permutation, out.dim(0)),
            permutation.weight.data<float>(), y, false, out);
}

void combine_backward(Exec& exec, const RoutingPlan& plan, PlanLayout layout,
                      const Permutation& permutation, ConstTensorView dslot, bool accumulate,
                      TensorView dx) {
  sum_slots(exec, token_slots(exec, plan, layout, permutation, dx.dim(0)), nullptr, dslot,
            accumulate, dx);
}

}  // namespace moiety::ops
