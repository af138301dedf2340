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

/// Writes a choice's slot; and slot i where it is past the kept ones.
struct FillSlot {
  KeptExpert expert;
  const int32_t *start, *count;
  int64_t experts;
  const float* plan_weight;
  int32_t *slot, *row;
  float* weight;
  MOIETY_HD void operator()(int64_t i, int32_t e, int32_t place) const {
    if (i >= start[experts - 1] + count[experts - 1]) row[i] = -1, weight[i] = 0;
    slot[i] = e < 0 ? -1 : start[e] + place;
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
  auto *start = out.start.data<int32_t>(), *count = out.count.data<int32_t>();
  order_choices(
      exec, n, experts, expert,
      FillSlot{expert, start, count, experts, plan.weight.data<float>(), out.slot.data<int32_t>(),
               out.row.data<int32_t>(), out.weight.data<float>()},
      count, start);
}

void plan_weight_grad(Exec& exec, const Permutation& permutation, ConstTensorView dweight,
                      TensorView dplan_weight) {
  for_each_row(exec, dplan_weight.numel(),
               WeightGrad{permutation.slot.data<int32_t>(), dweight.data<float>(),
                          dplan_weight.data<float>()});
}

}  // namespace moiety::ops
