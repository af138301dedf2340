// Places of choices within their experts, and who is dropped.
#include <moiety/ops.h>
#include <moiety/rows.cuh>

#include "core/ops/choice_order.cuh"

namespace moiety::ops {

namespace {

/// Choice i in the order of seating: (t, k) by t, or all first choices before all second ones.
struct Seat {
  Rows<int32_t> index;
  int64_t T, K;
  bool by_choice;
  MOIETY_HD int32_t& at(int64_t i) const {
    return by_choice ? index[i % T][i / T] : index[i / K][i % K];
  }
  MOIETY_HD int32_t operator()(int64_t i) const { return at(i) >= 0 ? at(i) : -1; }
};

struct WritePositions {
  Seat seat;
  Rows<int32_t> position;
  const int32_t* place;
  int64_t capacity;
  MOIETY_HD void operator()(int64_t i) const {
    int32_t& e = seat.at(i);
    const bool over = e >= 0 && capacity > 0 && place[i] >= capacity;
    Seat where = seat;
    where.index = position;
    where.at(i) = e >= 0 && !over ? place[i] : -1;
    if (over) e = dropped(e);
  }
};

void seat(Exec& exec, SlotOrder order, int64_t experts, int64_t capacity, TensorView index,
          TensorView position) {
  const int64_t T = index.dim(0), K = index.dim(1), n = T * K;
  int32_t* place = exec.scratch(DType::kI32, {n}).data<int32_t>();
  int32_t* count = exec.scratch(DType::kI32, {experts}).data<int32_t>();
  const Seat by{index.rows<int32_t>(), T, K, order == SlotOrder::kChoice};
  order_choices(exec, n, experts, by, place, count);
  for_each_row(exec, n, WritePositions{by, position.rows<int32_t>(), place, capacity});
}

/// An expert's choices side by side: (priority, choice), in token order.
struct Gather {
  Seat seat;
  Rows<const float> priority;
  const int32_t *place, *start;
  float* sorted;
  MOIETY_HD void operator()(int64_t i) const {
    const int32_t e = seat(i);
    if (e >= 0) sorted[start[e] + place[i]] = priority[i / seat.K][i % seat.K];
  }
};

struct DropLowest {
  Seat seat;
  const int32_t *place, *start, *count;
  const float* sorted;
  int64_t capacity;
  MOIETY_HD void operator()(int64_t i) const {
    const int32_t e = seat(i);
    if (e < 0 || count[e] <= capacity) return;
    const float* others = sorted + start[e];
    const int32_t me = place[i];
    int64_t better = 0;
    for (int32_t j = 0; j < count[e]; ++j) {
      better += others[j] > others[me] || (others[j] == others[me] && j < me) ? 1 : 0;
    }
    if (better >= capacity) seat.at(i) = dropped(e);
  }
};

}  // namespace

void assign_positions(Exec& exec, SlotOrder order, int64_t experts, int64_t capacity,
                      TensorView index, TensorView position) {
  seat(exec, order, experts, capacity, index, position);
}

void assign_positions_by_priority(Exec& exec, int64_t experts, int64_t capacity,
                                  ConstTensorView priority, TensorView index, TensorView position) {
  if (capacity > 0) {
    const int64_t T = index.dim(0), K = index.dim(1), n = T * K;
    int32_t* place = exec.scratch(DType::kI32, {n}).data<int32_t>();
    int32_t* count = exec.scratch(DType::kI32, {experts}).data<int32_t>();
    int32_t* start = exec.scratch(DType::kI32, {experts}).data<int32_t>();
    float* sorted = exec.scratch(DType::kF32, {n}).data<float>();
    const Seat by{index.rows<int32_t>(), T, K, false};
    order_choices(exec, n, experts, by, place, count);
    for_each_row(exec, 1, ScanExperts{count, start, experts});
    for_each_row(exec, n, Gather{by, priority.rows<float>(), place, start, sorted});
    for_each_row(exec, n, DropLowest{by, place, start, count, sorted, capacity});
  }
  seat(exec, SlotOrder::kToken, experts, 0, index, position);
}

}  // namespace moiety::ops
