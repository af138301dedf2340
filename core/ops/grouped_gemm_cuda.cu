// Grouped products on CUDA with sizes that only the device knows: the kernels that run on every
// card. The grid is an upper bound from
// the number of slots and segments; each block finds its segment, or that there is nothing left.
#include "core/device/cuda_check.h"
#include "core/ops/dtype.h"
#include "core/ops/gemm_backends.h"
#include "core/ops/grouped_mma.cuh"

namespace moiety::ops::cuda {

namespace {

struct DeviceSegments {
  const int32_t *start, *count;
  int number;
};

DeviceSegments on_device(const Segments& s) {
  return {s.start.data<int32_t>(), s.count.data<int32_t>(), static_cast<int>(s.start.numel())};
}

template <class Raw, class Out>
struct Forward {
  DeviceSegments segments;
  Window<Raw> a;  // all slots: [N, K]
  const Raw* w;   // [L, w_rows, w_columns]
  int64_t experts, w_rows, w_columns;
  bool w_vector;
  Out* out;  // [N, J]
  int64_t out_pitch, columns, column_tiles;
};

/// One tile of rows of a segment times one tile of columns.
template <class Tile, class Out>
__global__ void __launch_bounds__(kTileThreads)
    grouped_gemm_kernel(const Forward<typename Tile::Raw, Out> p) {
  __shared__ TileMemory<Tile> memory;
  const Place place =
      find_tile(p.segments.count, p.segments.number, Tile::kM, blockIdx.x / p.column_tiles);
  if (place.segment < 0) return;
  const int64_t row = int64_t{place.tile} * Tile::kM;
  const int64_t column = blockIdx.x % p.column_tiles * Tile::kN;
  const int64_t slot = p.segments.start[place.segment] + row;
  const int64_t rows = p.segments.count[place.segment] - row, columns = p.columns - column;
  auto a = p.a;
  a.data += slot * a.pitch;
  a.rows = rows;
  Window<typename Tile::Raw> b{p.w + place.segment % p.experts * p.w_rows * p.w_columns,
                               p.w_columns, p.w_rows, p.w_columns, p.w_vector};
  b.data += Tile::kBAlongRows ? column : column * b.pitch;
  (Tile::kBAlongRows ? b.columns : b.rows) = columns;
  Tile tile;
  multiply_add(tile, a, b, a.columns, memory);
  tile.store(memory.a[0], [&](int r, int c, float sum) {
    if (r < rows && c < columns) {
      p.out[(slot + r) * p.out_pitch + column + c] = static_cast<Out>(sum);
    }
  });
}

template <class Raw, class Out>
struct Backward {
  DeviceSegments segments;
  Window<Raw> a, dout;  // all slots
  Out* grad;            // [L, K, J]
  int64_t experts, row_tiles, column_tiles;
  bool accumulate;
};

/// One tile of one expert's gradient: the slots of its segments, in order.
template <class Tile, class Out>
__global__ void __launch_bounds__(kTileThreads)
    grouped_gemm_grad_kernel(const Backward<typename Tile::Raw, Out> p) {
  __shared__ TileMemory<Tile> memory;
  const int64_t tiles = p.row_tiles * p.column_tiles, expert = blockIdx.x / tiles;
  const int64_t row = blockIdx.x % tiles / p.column_tiles * Tile::kM;
  const int64_t column = blockIdx.x % p.column_tiles * Tile::kN;
  const int64_t K = p.a.columns, J = p.dout.columns;
  Tile tile;
  for (int64_t g = expert; g < p.segments.number; g += p.experts) {
    auto a = p.a, b = p.dout;
    a.data += p.segments.start[g] * a.pitch + row;
    b.data += p.segments.start[g] * b.pitch + column;
    a.rows = b.rows = p.segments.count[g];
    a.columns = K - row;
    b.columns = J - column;
    multiply_add(tile, a, b, a.rows, memory);
  }
  tile.store(memory.a[0], [&](int r, int c, float sum) {
    if (row + r >= K || column + c >= J) return;
    Out& to = p.grad[(expert * K + row + r) * J + column + c];
    to = static_cast<Out>(p.accumulate ? static_cast<float>(to) + sum : sum);
  });
}

template <class T>
using RawOf = std::conditional_t<std::is_same_v<T, float>, float, uint16_t>;

bool starts_at_vectors(const void* at, int64_t pitch, DType dtype) {
  return reinterpret_cast<uintptr_t>(at) % 16 == 0 && pitch * size_of(dtype) % 16 == 0;
}

template <class T>
Window<RawOf<T>> window_of(ConstTensorView v) {
  const auto rows = v.rows<T>();
  return {reinterpret_cast<const RawOf<T>*>(rows.ptr), rows.pitch, v.dim(0), v.dim(1),
          starts_at_vectors(rows.ptr, rows.pitch, v.dtype)};
}

template <class Kernel, class Arguments>
void launch(Exec& exec, Kernel kernel, int64_t blocks, const Arguments& arguments) {
  if (blocks == 0) return;
  kernel<<<static_cast<unsigned>(blocks), kTileThreads, 0,
           static_cast<cudaStream_t>(exec.stream())>>>(arguments);
  MOIETY_CUDA_CHECK(cudaGetLastError());
}

template <class T, class Out, bool kTransposed>
void run(Exec& exec, const GroupedProduct& p) {
  using Tile = TileFor<T, false, !kTransposed>;
  const auto out = p.out.rows<Out>();
  const int64_t G = p.segments.start.numel(), N = p.out.dim(0), J = p.out.dim(1);
  const int64_t across = (J + Tile::kN - 1) / Tile::kN;
  const Forward<RawOf<T>, Out> arguments{on_device(p.segments),
                                         window_of<T>(p.a),
                                         reinterpret_cast<const RawOf<T>*>(p.w.data<T>()),
                                         p.w.dim(0),
                                         p.w.dim(1),
                                         p.w.dim(2),
                                         starts_at_vectors(p.w.raw(), p.w.dim(2), p.w.dtype),
                                         out.ptr,
                                         out.pitch,
                                         J,
                                         across};
  launch(exec, grouped_gemm_kernel<Tile, Out>, (N / Tile::kM + G) * across, arguments);
}

template <class T, class Out>
void run(Exec& exec, const GroupedProduct& p) {
  p.transposed ? run<T, Out, true>(exec, p) : run<T, Out, false>(exec, p);
}

template <class T, class Out>
void run(Exec& exec, const GroupedGradient& p) {
  using Tile = TileFor<T, true, true>;
  const int64_t L = p.grad.dim(0), K = p.grad.dim(1), J = p.grad.dim(2);
  const int64_t down = (K + Tile::kM - 1) / Tile::kM, across = (J + Tile::kN - 1) / Tile::kN;
  const Backward<RawOf<T>, Out> arguments{on_device(p.segments),
                                          window_of<T>(p.a),
                                          window_of<T>(p.dout),
                                          p.grad.data<Out>(),
                                          L,
                                          down,
                                          across,
                                          p.accumulate};
  launch(exec, grouped_gemm_grad_kernel<Tile, Out>, L * down * across, arguments);
}

}  // namespace

void grouped_gemm(Exec& exec, const GroupedProduct& p) {
  const int64_t rows = p.w.dim(1), columns = p.w.dim(2);
  if (is_dense(p.segments, p.a.dim(0), p.w.dim(0))) {
    return ops::gemm(exec, p.a, p.w.reshape({rows, columns}), p.out, {.transpose_b = p.transposed});
  }
  if (grouped_gemm_sm90(exec, p)) return;
  with_float(p.a.dtype, "grouped_gemm", [&](auto element) {
    using T = decltype(element);
    p.out.dtype == DType::kF32 ? run<T, float>(exec, p) : run<T, T>(exec, p);
  });
}

void grouped_gemm_grad(Exec& exec, const GroupedGradient& p) {
  const int64_t L = p.grad.dim(0), K = p.grad.dim(1), J = p.grad.dim(2);
  if (is_dense(p.segments, p.a.dim(0), L)) {
    return ops::gemm(exec, p.a, p.dout, p.grad.reshape({K, J}),
                     {.transpose_a = true, .accumulate = p.accumulate});
  }
  if (grouped_gemm_grad_sm90(exec, p)) return;
  with_float(p.a.dtype, "grouped_gemm_grad", [&](auto element) {
    using T = decltype(element);
    p.grad.dtype == DType::kF32 ? run<T, float>(exec, p) : run<T, T>(exec, p);
  });
}

}  // namespace moiety::ops::cuda
