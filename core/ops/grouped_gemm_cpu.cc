// Grouped products on the CPU: every segment is cut into tiles by its size, and all tiles of all
// segments share the thread pool. Counts are read where they lie: device memory is host memory.
#include <algorithm>
#include <vector>

#include "core/device/cpu_pool.h"
#include "core/device/exec_impl.h"
#include "core/ops/gemm_backends.h"
#include "core/ops/gemm_cpu.h"

namespace moiety::ops::cpu {

namespace {

/// The w's slices as one tall f32 matrix.
F32Matrix slices_as_f32(Exec& exec, ConstTensorView w) {
  return as_f32(exec, w.reshape({w.dim(0) * w.dim(1), w.dim(2)}));
}

struct Tile {
  int64_t segment, row, rows, column, columns;
};

std::vector<Tile> tiles_of(const int32_t* count, int64_t segments, int64_t columns, int64_t k) {
  std::vector<Tile> tiles;
  for (int64_t g = 0; g < segments; ++g) {
    const Tiling cut(count[g], columns, k);
    for (int64_t i = 0; i < cut.count(); ++i) {
      const int64_t row = i / cut.across * cut.rows, column = i % cut.across * cut.columns;
      tiles.push_back({g, row, std::min<int64_t>(cut.rows, count[g] - row), column,
                       std::min(cut.columns, columns - column)});
    }
  }
  return tiles;
}

}  // namespace

void grouped_gemm(Exec& exec, const GroupedProduct& p) {
  const ArenaScope scope(*exec.impl().scratch);
  const F32Matrix a = as_f32(exec, p.a), w = slices_as_f32(exec, p.w);
  const int32_t *start = p.segments.start.data<int32_t>(),
                *count = p.segments.count.data<int32_t>();
  const int64_t L = p.w.dim(0), K = p.a.dim(1), J = p.out.dim(1);
  const auto tiles = tiles_of(count, p.segments.start.numel(), J, K);
  cpu_pool(exec).run(static_cast<int64_t>(tiles.size()), [&](int64_t i) {
    const Tile& t = tiles[static_cast<size_t>(i)];
    const int64_t first = start[t.segment] + t.row;
    Product product;
    product.m = count[t.segment];
    product.n = J;
    product.k = K;
    product.a = a.data + start[t.segment] * a.pitch;
    product.a_pitch = a.pitch;
    product.b = w.data + t.segment % L * p.w.dim(1) * w.pitch;
    product.b_pitch = w.pitch;
    product.b_transposed = p.transposed;
    multiply_into(product.tile(t.row, t.rows, t.column, t.columns), p.out, first, t.column, false);
  });
}

void grouped_gemm_grad(Exec& exec, const GroupedGradient& p) {
  const ArenaScope scope(*exec.impl().scratch);
  const F32Matrix a = as_f32(exec, p.a), dout = as_f32(exec, p.dout);
  const int32_t *start = p.segments.start.data<int32_t>(),
                *count = p.segments.count.data<int32_t>();
  const int64_t G = p.segments.start.numel(), L = p.grad.dim(0), K = p.grad.dim(1),
                J = p.grad.dim(2);
  const Tiling cut(K, J, 1 << 10);  // by the slice's size alone: a segment's count may change
  cpu_pool(exec).run(L * cut.count(), [&](int64_t i) {
    const int64_t l = i / cut.count(), tile = i % cut.count();
    const int64_t row = tile / cut.across * cut.rows, column = tile % cut.across * cut.columns;
    const int64_t rows = std::min(cut.rows, K - row), columns = std::min(cut.columns, J - column);
    bool accumulate = p.accumulate;
    for (int64_t g = l; g < std::max(G, l + 1); g += L) {  // an expert's segments, in order
      Product product;
      product.m = K;
      product.n = J;
      product.k = g < G ? count[g] : 0;
      product.a = a.data + (g < G ? start[g] : 0) * a.pitch;
      product.a_pitch = a.pitch;
      product.a_transposed = true;
      product.b = dout.data + (g < G ? start[g] : 0) * dout.pitch;
      product.b_pitch = dout.pitch;
      product.c = p.grad.data<float>() + l * K * J;
      product.c_pitch = J;
      Product mine = product.tile(row, rows, column, columns);
      mine.accumulate = accumulate;
      multiply(mine);
      accumulate = true;
    }
  });
}

}  // namespace moiety::ops::cpu
