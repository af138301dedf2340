// One segment over all rows: how a dense function runs as an expert of its own.
#pragma once

#include <cstdint>
#include <memory>

#include <moiety/ops.h>

#include "core/device/arena.h"

namespace moiety {

class AllRows {
 public:
  /// The counts lie in `memory`, and are written in stream order.
  AllRows(Exec& exec, Arena& memory, int64_t rows)
      : host_count_(std::make_unique<int32_t>(static_cast<int32_t>(rows))),
        start_(memory.make(DType::kI32, {1})),
        count_(memory.make(DType::kI32, {1})) {
    ops::fill(exec, start_, 0);
    ops::fill(exec, count_, static_cast<double>(rows));
  }
  /// Row n of x is slot n. `weight` f32 [T] or empty = 1.
  ExpertBatch batch(ConstTensorView x, ConstTensorView weight = {}) const {
    ExpertBatch all;
    all.start = start_, all.count = count_, all.host_count = host_count_.get();
    all.x = x, all.weight = weight;
    return all;
  }

 private:
  std::unique_ptr<int32_t> host_count_;
  TensorView start_, count_;
};

}  // namespace moiety
