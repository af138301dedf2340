// Weights in blocks of 128 x 128, as they lie or turned. On CUDA a block of threads holds one of
// them in registers.
#include <moiety/rows.cuh>

#include "core/ops/dtype.h"
#include "core/ops/fp8_scale.cuh"

namespace moiety::ops {

namespace {

/// Worker i: a block of one of the matrices [rows, columns] of w.
template <class T>
struct QuantizeBlock {
  const T* w;
  uint8_t* values;
  float* scales;
  int64_t rows, columns;
  bool turned;
  int64_t scale_pitch, scale_pitch_used;  // blocks along K, padded and not

  MOIETY_HD int64_t down() const { return (rows + kFp8Block - 1) / kFp8Block; }
  MOIETY_HD int64_t across() const { return (columns + kFp8Block - 1) / kFp8Block; }

  /// Stores the scale of block (r, c) of a matrix, and zeros in the gap behind the last of a row.
  MOIETY_HD void put_scale(int64_t matrix, int64_t r, int64_t c, float scale) const {
    const int64_t outer = turned ? c : r, inner = turned ? r : c;
    float* to = scales + (matrix * (turned ? across() : down()) + outer) * scale_pitch;
    to[inner] = scale;
    if (inner + 1 < scale_pitch_used) return;
    for (int64_t gap = scale_pitch_used; gap < scale_pitch; ++gap) to[gap] = 0;
  }

  MOIETY_HD void operator()(int64_t i) const {
    const int64_t c = i % across(), r = i / across() % down(), matrix = i / (across() * down());
    const T* from = w + matrix * rows * columns;
    uint8_t* to = values + matrix * rows * columns;
    const int64_t last_row = (r + 1) * kFp8Block < rows ? (r + 1) * kFp8Block : rows;
    const int64_t last = (c + 1) * kFp8Block < columns ? (c + 1) * kFp8Block : columns;
    uint32_t largest = 0;
    for (int64_t y = r * kFp8Block; y < last_row; ++y) {
      for (int64_t x = c * kFp8Block; x < last; ++x) {
        largest = larger(largest, magnitude_bits(from[y * columns + x]));
      }
    }
    const Fp8Scale s = scale_of<E4M3>(largest);
    put_scale(matrix, r, c, s.scale);
    for (int64_t y = r * kFp8Block; y < last_row; ++y) {
      for (int64_t x = c * kFp8Block; x < last; ++x) {
        to[turned ? x * rows + y : y * columns + x] =
            fp8_of<E4M3>(static_cast<float>(from[y * columns + x]) * s.inverse);
      }
    }
  }
};

#if defined(__CUDACC__)
constexpr int kBlock = 256, kPacks = kFp8Block / kFp8Pack, kRowsAtOnce = kBlock / kPacks;
constexpr int kRounds = kFp8Block / kRowsAtOnce;

/// The largest of all threads, in each of them.
__device__ uint32_t largest_of_block(uint32_t mine) {
  __shared__ uint32_t of_warp[kBlock / 32];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    mine = larger(mine, __shfl_xor_sync(0xffffffffu, mine, step));
  }
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = mine;
  __syncthreads();
#pragma unroll
  for (int warp = 0; warp < kBlock / 32; ++warp) mine = larger(mine, of_warp[warp]);
  return mine;
}

template <bool kAligned, bool kTurned, class T>
__global__ void __launch_bounds__(kBlock)
    quantize_blocks_kernel(QuantizeBlock<T> f, bool rows_by_16) {
  const int thread = static_cast<int>(threadIdx.x), pack = thread % kPacks, lane = thread / kPacks;
  const int64_t across = f.across(), down = f.down();
  const int64_t c = blockIdx.x % across, r = blockIdx.x / across % down,
                matrix = blockIdx.x / (across * down);
  const T* from = f.w + matrix * f.rows * f.columns;
  uint8_t* to = f.values + matrix * f.rows * f.columns;
  const int64_t column = c * kFp8Block + pack * kFp8Pack, left = f.columns - column;
  float x[kRounds][kFp8Pack];
  uint32_t largest = 0;
#pragma unroll
  for (int i = 0; i < kRounds; ++i) {
    const int64_t row = r * kFp8Block + lane + i * kRowsAtOnce;
    const bool exists = row < f.rows && left > 0;
    load_eight<kAligned>(exists ? from + row * f.columns + column : from, exists ? left : 0, x[i]);
#pragma unroll
    for (int j = 0; j < kFp8Pack; ++j) largest = larger(largest, magnitude_bits(x[i][j]));
  }
  const Fp8Scale s = scale_of<E4M3>(largest_of_block(largest));
  if (thread == 0) f.put_scale(matrix, r, c, s.scale);
  if constexpr (!kTurned) {
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
      const int64_t row = r * kFp8Block + lane + i * kRowsAtOnce;
      if (row >= f.rows || left <= 0) continue;
      store_eight<kAligned>(eight_fp8<E4M3>(x[i], s.inverse), left, to + row * f.columns + column);
    }
  } else {
    __shared__ __align__(16) TurnedCodes<kFp8Block> turned;
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
      turned.put(pack * kFp8Pack, lane + i * kRowsAtOnce, eight_fp8<E4M3>(x[i], s.inverse));
    }
    __syncthreads();
    constexpr int kSixteens = kFp8Block / 16;
    for (int i = thread; i < static_cast<int>(kFp8Block) * kSixteens; i += kBlock) {
      const int of_block = i / kSixteens, row = i % kSixteens * 16;
      const int64_t out_row = c * kFp8Block + of_block, k = r * kFp8Block + row;
      if (out_row >= f.columns) continue;
      uint8_t* at = to + out_row * f.rows + k;
      if (rows_by_16) {
        turned.template store_sixteen<true>(of_block, row, f.rows - k, at);
      } else {
        turned.template store_sixteen<false>(of_block, row, f.rows - k, at);
      }
    }
  }
}
#endif

template <class T>
void run(Exec& exec, const QuantizeBlock<T>& f, int64_t matrices) {
  const int64_t blocks = matrices * f.down() * f.across();
#if defined(__CUDACC__)
  if (exec.is_cuda()) {
    if (blocks == 0) return;
    with_alignment(Rows<const T>{f.w, f.columns}, f.columns, [&](auto aligned) {
      constexpr bool kAligned = decltype(aligned)::value;
      const auto grid = static_cast<unsigned>(blocks);
      auto* stream = static_cast<cudaStream_t>(exec.stream());
      const bool by_16 = f.rows % 16 == 0;
      if (f.turned) {
        quantize_blocks_kernel<kAligned, true><<<grid, kBlock, 0, stream>>>(f, by_16);
      } else {
        quantize_blocks_kernel<kAligned, false><<<grid, kBlock, 0, stream>>>(f, by_16);
      }
    });
    return;
  }
#endif
  for_each_row(exec, blocks, f);
}

}  // namespace

Fp8Matrix quantize_blocks(Exec& exec, ConstTensorView w, Transpose transpose) {
  if ((w.rank != 2 && w.rank != 3) || !w.contiguous()) {
    throw Error("quantize_blocks: w must be contiguous [A, B] or [L, A, B]");
  }
  const bool turned = transpose == Transpose::kYes, one = w.rank == 2;
  const int64_t L = one ? 1 : w.dim(0), A = w.dim(-2), B = w.dim(-1);
  const int64_t rows = turned ? B : A, K = turned ? A : B;
  const int64_t outer = fp8_blocks(rows), used = fp8_blocks(K), pitch = (used + 3) / 4 * 4;
  const DType format = DType::kF8E4M3;
  Fp8Matrix m;
  m.scaling = Fp8Scaling::kBlocks;
  m.values = one ? exec.scratch(format, {rows, K}) : exec.scratch(format, {L, rows, K});
  const TensorView scales = one ? exec.scratch(DType::kF32, {outer, pitch})
                                : exec.scratch(DType::kF32, {L, outer, pitch});
  with_float(w.dtype, "quantize_blocks", [&](auto element) {
    using T = decltype(element);
    run(exec,
        QuantizeBlock<T>{w.data<T>(), static_cast<uint8_t*>(m.values.ptr), scales.data<float>(), A,
                         B, turned, pitch, used},
        L);
  });
  m.scales = scales.slice(one ? 1 : 2, 0, used);
  return m;
}

}  // namespace moiety::ops
