// Places of choices within their experts, and who is dropped.
#include <moiety/ops.h>
#include <moiety/rows.cuh>

#include "core/ops/choice_order.cuh"
#include "core/ops/wide_rows.cuh"

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

/// Writes a choice's place, or drops it.
struct WritePositions {
  Seat seat;
  Rows<int32_t> position;
  int64_t capacity;
  MOIETY_HD void operator()(int64_t i, int32_t e, int32_t place) const {
    const bool over = e >= 0 && capacity > 0 && place >= capacity;
    Seat where = seat;
    where.index = position;
    where.at(i) = over ? -1 : place;
    if (over) seat.at(i) = dropped(e);
  }
};

void seat(Exec& exec, SlotOrder order, int64_t experts, int64_t capacity, TensorView index,
          TensorView position) {
  const int64_t T = index.dim(0), K = index.dim(1);
  int32_t* count = exec.scratch(DType::kI32, {experts}).data<int32_t>();
  int32_t* start = exec.scratch(DType::kI32, {experts}).data<int32_t>();
  const Seat by{index.rows<int32_t>(), T, K, order == SlotOrder::kChoice};
  order_choices(exec, T * K, experts, by, WritePositions{by, position.rows<int32_t>(), capacity},
                count, start);
}

/// An expert's choices side by side: (priority, choice), in token order.
struct Gather {
  Rows<const float> priority;
  int64_t K;
  const int32_t* start;
  int32_t* places;
  float* sorted;
  MOIETY_HD void operator()(int64_t i, int32_t e, int32_t place) const {
    places[i] = place;
    if (e >= 0) sorted[start[e] + place] = priority[i / K][i % K];
  }
};

struct DropLowest {
  Seat seat;
  const int32_t *place, *start, *count;
  const float* sorted;
  int64_t capacity;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t i) const {
    const int32_t e = seat(i);
    if (e < 0 || count[e] <= capacity) return;
    const float* others = sorted + start[e];
    const int32_t me = place[i];
    const int64_t better = group.count(count[e], [&](int64_t j) {
      return others[j] > others[me] || (others[j] == others[me] && j < me);
    });
    if (better >= capacity && group.leader()) seat.at(i) = dropped(e);
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
    order_choices(exec, n, experts, by, Gather{priority.rows<float>(), K, start, place, sorted},
                  count, start);
    for_each_wide_row<32>(exec, n, DropLowest{by, place, start, count, sorted, capacity});
  }
  seat(exec, SlotOrder::kToken, experts, 0, index, position);
}

}  // namespace moiety::ops
