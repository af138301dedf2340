// What products on the CPU read and write, whatever the dtype.
#pragma once

#include <cstdint>

#include <moiety/exec.h>

namespace moiety::ops::cpu {

/// A matrix as f32: the tensor's own memory, or a converted copy in scratch.
struct F32Matrix {
  const float* data = nullptr;
  int64_t pitch = 0;
};
/// Rows [0, x.dim(0)) of a matrix. The copy lives until the scratch arena is rewound.
F32Matrix as_f32(Exec& exec, ConstTensorView x);

/// Stores a tile of f32 sums in rows of `c`, rounding where c is narrower.
void store_tile(const float* sums, int64_t rows, int64_t columns, TensorView c, int64_t row,
                int64_t column, bool accumulate);

}  // namespace moiety::ops::cpu
