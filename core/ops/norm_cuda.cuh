// Norms on a GPU with rows in registers: every element is read once. The backward also sums the
// gradients of weight and bias, in pieces of rows that a block takes in turn.
#pragma once

#include <cstdint>

#include "core/ops/pack_rows.cuh"
#include "core/ops/row_pieces.cuh"

#if defined(__CUDACC__)

namespace moiety::ops {

/// Sums over the kThreads threads of a block, kSums at once; known to all of them.
template <int kThreads, int kSums>
__device__ inline void sum_over_block(float (&x)[kSums]) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
#pragma unroll
    for (int k = 0; k < kSums; ++k) x[k] += __shfl_xor_sync(0xffffffffu, x[k], offset);
  }
  if constexpr (kThreads > 32) {
    __shared__ float of_warp[kSums][kThreads / 32];
    __syncthreads();  // those before have been read
    if (threadIdx.x % 32 == 0) {
#pragma unroll
      for (int k = 0; k < kSums; ++k) of_warp[k][threadIdx.x / 32] = x[k];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kSums; ++k) {
      x[k] = of_warp[k][0];
#pragma unroll
      for (int w = 1; w < kThreads / 32; ++w) x[k] += of_warp[k][w];
    }
  }
}

/// The packs of a row that a thread holds.
template <int kThreads, int kWidth>
__device__ inline int64_t column_of(int pack) {
  return (int64_t{pack} * kThreads + threadIdx.x % kThreads) * kWidth;
}

/// What a norm reads and writes. With `added`, x is the sum of both, and goes to `sum`.
template <class T>
struct NormRows {
  Rows<const T> x, added;
  Rows<T> sum;
  const float *weight, *bias;  // bias may be null
  Rows<T> y;
  float* statistics;
  int64_t rows, D;
  float eps;
};

/// Several rows a block where a warp has a row alone, else one.
template <int kThreads>
inline constexpr int kNormRows = kThreads == 32 ? 4 : 1;

template <bool kCentered, int kThreads, int kWidth, int kPacks, class T>
__global__ void __launch_bounds__(kThreads* kNormRows<kThreads>) norm_kernel(NormRows<T> n) {
  const int64_t row = int64_t{blockIdx.x} * kNormRows<kThreads> + threadIdx.x / kThreads;
  if (row >= n.rows) return;
  float x[kPacks][kWidth];
  float sum[1] = {};
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int64_t c = column_of<kThreads, kWidth>(p);
    if (c < n.D) {
      load_pack<kWidth>(n.x[row] + c, x[p]);
    } else {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) x[p][i] = 0;
    }
  }
  if (n.added.ptr != nullptr) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t c = column_of<kThreads, kWidth>(p);
      if (c >= n.D) continue;
      float other[kWidth];
      load_pack<kWidth>(n.added[row] + c, other);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) x[p][i] = static_cast<float>(T(x[p][i] + other[i]));
      store_pack<kWidth>(x[p], n.sum[row] + c);
    }
  }
  const auto width = static_cast<float>(n.D);
  float mean = 0;
  if constexpr (kCentered) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) sum[0] += x[p][i];
    }
    sum_over_block<kThreads>(sum);
    mean = sum[0] / width;
    sum[0] = 0;
  }
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    if (column_of<kThreads, kWidth>(p) >= n.D) continue;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      x[p][i] -= mean;
      sum[0] += x[p][i] * x[p][i];
    }
  }
  sum_over_block<kThreads>(sum);
  const float rstd = 1.0f / sqrtf(sum[0] / width + n.eps);
  if (threadIdx.x % kThreads == 0) {
    if (kCentered) n.statistics[2 * row] = mean;
    n.statistics[kCentered ? 2 * row + 1 : row] = rstd;
  }
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int64_t c = column_of<kThreads, kWidth>(p);
    if (c >= n.D) continue;
    float w[kWidth], b[kWidth];
    load_pack<kWidth>(n.weight + c, w);
    if (n.bias != nullptr) load_pack<kWidth>(n.bias + c, b);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      x[p][i] = x[p][i] * rstd * w[i];
      if (n.bias != nullptr) x[p][i] += b[i];
    }
    store_pack<kWidth>(x[p], n.y[row] + c);
  }
}

template <class T>
struct NormBackwardRows {
  Rows<const T> x, dy, residual;  // residual may be null; dx may lie over it or over dy
  const float *weight, *statistics;
  Rows<T> dx;
  int64_t rows, D, piece;
  float* partial;  // [pieces, 2, D]: of weight and bias; null: nobody asks
};

/// What a thread holds of a row before it is needed: as it lies in memory.
template <class T, int kWidth>
struct NormBackwardPack {
  Chunk<static_cast<int>(sizeof(T)) * kWidth> x, dy, residual;
  __device__ void load(const NormBackwardRows<T>& n, int64_t row, int64_t c) {
    x = *reinterpret_cast<const decltype(x)*>(n.x[row] + c);
    dy = *reinterpret_cast<const decltype(dy)*>(n.dy[row] + c);
    if (n.residual.ptr != nullptr) {
      residual = *reinterpret_cast<const decltype(residual)*>(n.residual[row] + c);
    }
  }
};

/// A block takes a piece of rows, kRows at a time, and loads the next ones meanwhile.
template <bool kCentered, int kThreads, int kWidth, int kPacks, int kRows, class T>
__global__ void __launch_bounds__(kThreads) norm_backward_kernel(NormBackwardRows<T> n) {
  const int64_t begin = blockIdx.x * n.piece;
  const int64_t end = begin + n.piece < n.rows ? begin + n.piece : n.rows;
  const auto width = static_cast<float>(n.D);
  float w[kPacks][kWidth], dw[kPacks][kWidth] = {}, db[kPacks][kWidth] = {};
  NormBackwardPack<T, kWidth> next[kRows][kPacks];
  float next_mean[kRows] = {}, next_rstd[kRows];
  const auto load = [&](int64_t first) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int64_t row = first + r < end ? first + r : end - 1;
#pragma unroll
      for (int p = 0; p < kPacks; ++p) {
        const int64_t c = column_of<kThreads, kWidth>(p);
        if (c < n.D) next[r][p].load(n, row, c);
      }
      if (kCentered) next_mean[r] = n.statistics[2 * row];
      next_rstd[r] = n.statistics[kCentered ? 2 * row + 1 : row];
    }
  };
  load(begin);
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int64_t c = column_of<kThreads, kWidth>(p);
    if (c < n.D) load_pack<kWidth>(n.weight + c, w[p]);
  }
  for (int64_t first = begin; first < end; first += kRows) {
    float h[kRows][kPacks][kWidth], g[kRows][kPacks][kWidth], sums[2 * kRows] = {}, rstd[kRows];
    decltype(next[0][0].residual) residual[kRows][kPacks];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const bool counts = first + r < end;
      const float mean = next_mean[r];
      rstd[r] = next_rstd[r];
#pragma unroll
      for (int p = 0; p < kPacks; ++p) {
        if (column_of<kThreads, kWidth>(p) >= n.D) continue;
        load_pack<kWidth>(reinterpret_cast<const T*>(&next[r][p].x), h[r][p]);
        load_pack<kWidth>(reinterpret_cast<const T*>(&next[r][p].dy), g[r][p]);
        residual[r][p] = next[r][p].residual;
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          float& hat = h[r][p][i];
          hat = (hat - mean) * rstd[r];
          if (counts) {
            dw[p][i] += g[r][p][i] * hat;
            db[p][i] += g[r][p][i];
          }
          g[r][p][i] *= w[p][i];
          if (kCentered) sums[2 * r] += g[r][p][i];
          sums[2 * r + 1] += g[r][p][i] * hat;
        }
      }
    }
    if (first + kRows < end) load(first + kRows);
    sum_over_block<kThreads>(sums);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (first + r >= end) break;
      const float mean_g = sums[2 * r] / width, mean_gh = sums[2 * r + 1] / width;
#pragma unroll
      for (int p = 0; p < kPacks; ++p) {
        const int64_t c = column_of<kThreads, kWidth>(p);
        if (c >= n.D) continue;
        float rest[kWidth] = {};
        if (n.residual.ptr != nullptr) {
          load_pack<kWidth>(reinterpret_cast<const T*>(&residual[r][p]), rest);
        }
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          float& d = g[r][p][i];
          d = rstd[r] * (d - mean_g - h[r][p][i] * mean_gh) + rest[i];
        }
        store_pack<kWidth>(g[r][p], n.dx[first + r] + c);
      }
    }
  }
  if (n.partial == nullptr) return;
  float* out = n.partial + blockIdx.x * 2 * n.D;
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int64_t c = column_of<kThreads, kWidth>(p);
    if (c >= n.D) continue;
    store_pack<kWidth>(dw[p], out + c);
    store_pack<kWidth>(db[p], out + n.D + c);
  }
}

/// Calls f(threads, packs) with constants such that threads * packs * kWidth >= D, or returns false
/// where rows are too wide. f's threads are `least` or more.
template <int kWidth, int kLeast, class F>
bool with_row_in_registers(int64_t D, const F& f) {
  const auto fits = [&](auto threads, auto packs) {
    if (D > int64_t{threads} * packs * kWidth) return false;
    f(threads, packs);
    return true;
  };
  using std::integral_constant;
  if constexpr (kLeast <= 32) {
    if (fits(integral_constant<int, 32>{}, integral_constant<int, 1>{})) return true;
    if (fits(integral_constant<int, 32>{}, integral_constant<int, 2>{})) return true;
    if (fits(integral_constant<int, 32>{}, integral_constant<int, 4>{})) return true;
  }
  return fits(integral_constant<int, 128>{}, integral_constant<int, 1>{}) ||
         fits(integral_constant<int, 128>{}, integral_constant<int, 2>{}) ||
         fits(integral_constant<int, 512>{}, integral_constant<int, 1>{}) ||
         fits(integral_constant<int, 512>{}, integral_constant<int, 2>{});
}

/// False where the portable kernel has to serve: rows too wide, or not 16 bytes apart.
template <bool kCentered, class T>
bool norm_in_registers(Exec& exec, const NormRows<T>& n) {
  constexpr int kWidth = kPackOf<T>;
  if (!packed(n.x, n.D) || !packed(n.added, n.D) || !packed(n.sum, n.D) || !packed(n.y, n.D) ||
      !packed(n.weight, n.D) || !packed(n.bias, n.D)) {
    return false;
  }
  if (n.rows == 0) return true;
  return with_row_in_registers<kWidth, 32>(n.D, [&](auto threads, auto packs) {
    constexpr int kRows = kNormRows<threads>;
    norm_kernel<kCentered, threads, kWidth, packs>
        <<<blocks_for(n.rows, kRows), int{threads} * kRows, 0,
           static_cast<cudaStream_t>(exec.stream())>>>(n);
  });
}

struct VectorGrad {
  float* out = nullptr;  // null: nobody asks
  bool accumulate = false;
};

template <bool kCentered, class T>
bool norm_backward_in_registers(Exec& exec, NormBackwardRows<T> n, const VectorGrad& weight,
                                const VectorGrad& bias) {
  constexpr int kWidth = kPackOf<T>;
  if (!packed(n.x, n.D) || !packed(n.dy, n.D) || !packed(n.residual, n.D) ||
      !packed(Rows<const T>{n.dx.ptr, n.dx.pitch}, n.D) || !packed(n.weight, n.D) ||
      n.D > int64_t{1024} * kWidth || n.rows == 0) {
    return false;
  }
  auto* stream = static_cast<cudaStream_t>(exec.stream());
  n.piece = std::max<int64_t>((n.rows + 511) / 512, 4);
  const int64_t pieces = (n.rows + n.piece - 1) / n.piece;
  if (weight.out != nullptr || bias.out != nullptr) {
    n.partial = exec.scratch(DType::kF32, {pieces, 2 * n.D}).template data<float>();
  }
  with_row_in_registers<kWidth, 128>(n.D, [&](auto threads, auto packs) {
    constexpr int kRows = 2 / packs;
    norm_backward_kernel<kCentered, threads, kWidth, packs, kRows>
        <<<static_cast<unsigned>(pieces), int{threads}, 0, stream>>>(n);
  });
  const VectorGrad grads[] = {weight, bias};
  for (int k = 0; k < 2; ++k) {
    if (grads[k].out == nullptr) continue;
    add_pieces(stream, n.partial + k * n.D, 2 * n.D, pieces, n.D, grads[k].out,
               grads[k].accumulate);
  }
  return true;
}

}  // namespace moiety::ops

#endif
