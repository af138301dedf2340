// Dense products on the CPU: tiles over the thread pool.
#include "core/ops/gemm_cpu.h"

#include <memory>

#include "core/device/cpu_pool.h"
#include "core/device/exec_impl.h"
#include "core/ops/dtype.h"
#include "core/ops/elementwise.h"
#include "core/ops/gemm_backends.h"

namespace moiety::ops::cpu {

namespace {

template <class T>
void convert_rows(Exec& exec, Rows<const T> from, int64_t rows, int64_t columns, float* to) {
  constexpr int64_t kElements = 1 << 15;  // of a piece
  const int64_t height = std::max<int64_t>(1, kElements / std::max<int64_t>(1, columns));
  cpu_pool(exec).run((rows + height - 1) / height, [&](int64_t piece) {
    const int64_t end = std::min(rows, (piece + 1) * height);
    for (int64_t r = piece * height; r < end; ++r) {
      for (int64_t c = 0; c < columns; ++c) to[r * columns + c] = from[r][c];
    }
  });
}

}  // namespace

Product Product::tile(int64_t row, int64_t rows, int64_t column, int64_t columns) const {
  Product t = *this;
  t.m = rows;
  t.n = columns;
  t.a += a_transposed ? row : row * a_pitch;
  t.b += b_transposed ? column * b_pitch : column;
  if (c != nullptr) t.c += row * c_pitch + column;
  return t;
}

Tiling::Tiling(int64_t m, int64_t n, int64_t k) {
  // Tiles small enough to share among many cores, large enough that packing stays cheap.
  constexpr int64_t kSmallest = 64, kWanted = 16, kWork = int64_t{1} << 21;
  rows = std::min<int64_t>(m, 256);
  columns = std::min<int64_t>(n, 1024);
  const auto tiles = [&] {
    down = rows > 0 ? (m + rows - 1) / rows : 0;
    across = columns > 0 ? (n + columns - 1) / columns : 0;
    return down * across;
  };
  while (tiles() > 0 && tiles() < kWanted && rows * columns * std::max<int64_t>(k, 1) > kWork) {
    int64_t& side = rows >= columns ? rows : columns;
    if (side <= kSmallest) break;
    side = std::max(kSmallest, (side / 2 + 15) / 16 * 16);
  }
}

F32Matrix as_f32(Exec& exec, ConstTensorView x) {
  if (x.dtype == DType::kF32) return {x.rows<float>().ptr, x.stride[0]};
  const TensorView copy = exec.scratch(DType::kF32, {x.dim(0), x.dim(1)});
  with_float(x.dtype, "gemm", [&](auto type) {
    using T = decltype(type);
    convert_rows<T>(exec, x.rows<T>(), x.dim(0), x.dim(1), copy.data<float>());
  });
  return {copy.data<float>(), x.dim(1)};
}

void store_tile(const float* sums, int64_t rows, int64_t columns, TensorView c, int64_t row,
                int64_t column, bool accumulate) {
  with_float(c.dtype, "gemm", [&](auto type) {
    using T = decltype(type);
    const Rows<T> out = c.rows<T>();
    for (int64_t i = 0; i < rows; ++i) {
      T* to = out[row + i] + column;
      const float* from = sums + i * columns;
      for (int64_t j = 0; j < columns; ++j) {
        to[j] = T(accumulate ? static_cast<float>(to[j]) + from[j] : from[j]);
      }
    }
  });
}

void multiply_into(const Product& tile, TensorView c, int64_t row, int64_t column,
                   bool accumulate) {
  Product p = tile;
  if (c.dtype == DType::kF32) {
    const Rows<float> out = c.rows<float>();
    p.c = out[row] + column;
    p.c_pitch = out.pitch;
    p.accumulate = accumulate;
    return multiply(p);
  }
  const auto sums = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(p.m * p.n));
  p.c = sums.get();
  p.c_pitch = p.n;
  p.accumulate = false;
  multiply(p);
  store_tile(sums.get(), p.m, p.n, c, row, column, accumulate);
}

void gemm(Exec& exec, ConstTensorView a, ConstTensorView b, TensorView c, const GemmForm& form) {
  const ArenaScope scope(*exec.impl().scratch);
  const F32Matrix fa = as_f32(exec, a), fb = as_f32(exec, b);
  Product p;
  p.m = c.dim(0);
  p.n = c.dim(1);
  p.k = a.dim(form.transpose_a ? 0 : 1);
  p.a = fa.data;
  p.a_pitch = fa.pitch;
  p.a_transposed = form.transpose_a;
  p.b = fb.data;
  p.b_pitch = fb.pitch;
  p.b_transposed = form.transpose_b;
  const Tiling cut(p.m, p.n, p.k);
  cpu_pool(exec).run(cut.count(), [&](int64_t i) {
    const int64_t row = i / cut.across * cut.rows, column = i % cut.across * cut.columns;
    const int64_t rows = std::min(cut.rows, p.m - row);
    const int64_t columns = std::min(cut.columns, p.n - column);
    multiply_into(p.tile(row, rows, column, columns), c, row, column, form.accumulate);
  });
  if (form.bias) add_bias(exec, form.bias, c);
}

}  // namespace moiety::ops::cpu
