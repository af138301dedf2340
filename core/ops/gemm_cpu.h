// Products on the CPU: one-thread pieces, and how a product is cut into them.
#pragma once

#include <algorithm>
#include <cstdint>

#include <moiety/exec.h>

namespace moiety::ops::cpu {

/// c [m, n] = op(a) op(b), or += with accumulate. f32, row-major, pitches in elements.
struct Product {
  int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  int64_t a_pitch = 0;
  bool a_transposed = false;  // a is [k, m]
  const float* b = nullptr;
  int64_t b_pitch = 0;
  bool b_transposed = false;  // b is [n, k]
  float* c = nullptr;
  int64_t c_pitch = 0;
  bool accumulate = false;

  /// Rows [row, row + rows) and columns [column, column + columns) of c.
  Product tile(int64_t row, int64_t rows, int64_t column, int64_t columns) const;
};

/// On the calling thread; any of m, n, k may be 0. The bits depend on m, n, k and the machine.
void multiply(const Product& product);
/// The core's own blocked kernel; multiply() uses it for small products, or without OpenBLAS.
void multiply_portable(const Product& product);

/// A cut of [m, n] into tiles that depends on the sizes alone, never on the number of threads.
struct Tiling {
  int64_t rows = 1, columns = 1;  // of a tile
  int64_t down = 0, across = 0;   // tiles

  Tiling(int64_t m, int64_t n, int64_t k);
  int64_t count() const { return down * across; }
};

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

/// Runs one tile of a product whose result goes to `c` (f32, bf16 or f16), at (row, column).
void multiply_into(const Product& tile, TensorView c, int64_t row, int64_t column, bool accumulate);

}  // namespace moiety::ops::cpu
