// From a plan to slots sorted by expert: count, scan, stable placement, all on the device.
#include <moiety/rows.cuh>

#include "core/ops/choice_order.cuh"
#include "core/ops/routing.h"

namespace moiety::ops {

namespace {

/// The expert of a kept choice i, else -1. Token-major: index names it; expert-major: its row does.
struct KeptExpert {
  const int32_t* index;
  int64_t per_row;  // K or C
  bool expert_major;
  MOIETY_HD int32_t operator()(int64_t i) const {
    if (index[i] < 0) return -1;
    return expert_major ? static_cast<int32_t>(i / per_row) : index[i];
  }
  MOIETY_HD int32_t token(int64_t i) const {
    return expert_major ? index[i] : static_cast<int32_t>(i / per_row);
  }
};

struct ClearSlot {
  int32_t* row;
  float* weight;
  MOIETY_HD void operator()(int64_t n) const { row[n] = -1, weight[n] = 0; }
};

struct FillSlot {
  KeptExpert expert;
  const int32_t *place, *start;
  const float* plan_weight;
  int32_t *slot, *row;
  float* weight;
  MOIETY_HD void operator()(int64_t i) const {
    const int32_t e = expert(i);
    slot[i] = e < 0 ? -1 : start[e] + place[i];
    if (e < 0) return;
    row[slot[i]] = expert.token(i);
    weight[slot[i]] = plan_weight[i];
  }
};

struct WeightGrad {
  const int32_t* slot;
  const float* dweight;
  float* dplan;
  MOIETY_HD void operator()(int64_t i) const { dplan[i] = slot[i] < 0 ? 0.f : dweight[slot[i]]; }
};

}  // namespace

void permute(Exec& exec, const RoutingPlan& plan, PlanLayout layout, int64_t experts,
             const Permutation& out) {
  const int64_t n = plan.index.numel();
  const KeptExpert expert{plan.index.data<int32_t>(), plan.index.dim(1),
                          layout == PlanLayout::kExpertMajor};
  int32_t* place = exec.scratch(DType::kI32, {n}).data<int32_t>();
  order_choices(exec, n, experts, expert, place, out.count.data<int32_t>());
  for_each_row(exec, 1, ScanExperts{out.count.data<int32_t>(), out.start.data<int32_t>(), experts});
  for_each_row(exec, n, ClearSlot{out.row.data<int32_t>(), out.weight.data<float>()});
  for_each_row(
      exec, n,
      FillSlot{expert, place, out.start.data<int32_t>(), plan.weight.data<float>(),
               out.slot.data<int32_t>(), out.row.data<int32_t>(), out.weight.data<float>()});
}

void plan_weight_grad(Exec& exec, const Permutation& permutation, ConstTensorView dweight,
                      TensorView dplan_weight) {
  for_each_row(exec, dplan_weight.numel(),
               WeightGrad{permutation.slot.data<int32_t>(), dweight.data<float>(),
                          dplan_weight.data<float>()});
}

}  // namespace moiety::ops
