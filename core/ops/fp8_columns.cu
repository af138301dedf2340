// The transpose of a matrix, in pieces of 128 of its rows. On CUDA a block of threads turns 128 x
// 64 numbers in shared memory.
#include <moiety/rows.cuh>

#include "core/ops/dtype.h"
#include "core/ops/fp8_scale.cuh"
#include "core/ops/shape_checks.h"

namespace moiety::ops {

namespace {

constexpr int kColumns = 64;  // of a worker

/// Worker i: piece i / groups, columns from i % groups * kColumns on.
template <class T, class Format>
struct QuantizeColumns {
  Rows<const T> x;  // [T, N]
  uint8_t* values;  // [N, T]
  float* scales;    // [pieces, N]
  int64_t rows, width, groups;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t piece = i / groups, first = i % groups * kColumns, begin = piece * kFp8Block;
    const int64_t end = begin + kFp8Block < rows ? begin + kFp8Block : rows;
    const int64_t last = first + kColumns < width ? first + kColumns : width;
    uint32_t largest[kColumns] = {};
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t n = first; n < last; ++n) {
        largest[n - first] = larger(largest[n - first], magnitude_bits(x[t][n]));
      }
    }
    for (int64_t n = first; n < last; ++n) {
      const Fp8Scale s = scale_of<Format>(largest[n - first]);
      scales[piece * width + n] = s.scale;
      for (int64_t t = begin; t < end; ++t) {
        values[n * rows + t] = fp8_of<Format>(static_cast<float>(x[t][n]) * s.inverse);
      }
    }
  }
};

#if defined(__CUDACC__)
constexpr int kBlock = 256, kPacks = kColumns / kFp8Pack, kRowsAtOnce = kBlock / kPacks;
constexpr int kRounds = kFp8Block / kRowsAtOnce;

/// blockIdx.x: piece, blockIdx.y: group of columns.
template <bool kAligned, class T, class Format>
__global__ void quantize_columns_kernel(QuantizeColumns<T, Format> f, bool rows_by_16) {
  __shared__ uint32_t largest_of[kRowsAtOnce][kColumns];
  __shared__ float inverse_of[kColumns];
  __shared__ __align__(16) TurnedCodes<kColumns> turned;
  const int thread = static_cast<int>(threadIdx.x), pack = thread % kPacks, lane = thread / kPacks;
  const int64_t begin = blockIdx.x * int64_t{kFp8Block}, first = blockIdx.y * int64_t{kColumns};
  const int64_t n = first + pack * kFp8Pack;
  float x[kRounds][kFp8Pack];
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const int64_t t = begin + lane + r * kRowsAtOnce;
    const int64_t left = t < f.rows ? f.width - n : 0;
    load_eight<kAligned>(left > 0 ? f.x[t] + n : f.x.ptr, left, x[r]);
  }
#pragma unroll
  for (int j = 0; j < kFp8Pack; ++j) {
    uint32_t largest = 0;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) largest = larger(largest, magnitude_bits(x[r][j]));
    largest_of[lane][pack * kFp8Pack + j] = largest;
  }
  __syncthreads();
  if (thread < kColumns) {
    uint32_t largest = 0;
    for (int l = 0; l < kRowsAtOnce; ++l) largest = larger(largest, largest_of[l][thread]);
    const Fp8Scale s = scale_of<Format>(largest);
    inverse_of[thread] = s.inverse;
    if (first + thread < f.width) f.scales[blockIdx.x * f.width + first + thread] = s.scale;
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
#pragma unroll
    for (int j = 0; j < kFp8Pack; ++j) x[r][j] *= inverse_of[pack * kFp8Pack + j];
    turned.put(pack * kFp8Pack, lane + r * kRowsAtOnce, eight_fp8<Format>(x[r], 1.f));
  }
  __syncthreads();
  constexpr int kSixteens = kFp8Block / 16;
  for (int i = thread; i < kColumns * kSixteens; i += kBlock) {
    const int column = i / kSixteens, row = i % kSixteens * 16;
    if (first + column >= f.width) continue;
    uint8_t* to = f.values + (first + column) * f.rows + begin + row;
    if (rows_by_16) {
      turned.template store_sixteen<true>(column, row, f.rows - begin - row, to);
    } else {
      turned.template store_sixteen<false>(column, row, f.rows - begin - row, to);
    }
  }
}
#endif

template <class T, class Format>
void run(Exec& exec, const QuantizeColumns<T, Format>& f) {
  const int64_t pieces = fp8_blocks(f.rows);
#if defined(__CUDACC__)
  if (exec.is_cuda()) {
    if (pieces * f.groups == 0) return;
    with_alignment(f.x, f.width, [&](auto aligned) {
      const dim3 grid(static_cast<unsigned>(pieces), static_cast<unsigned>(f.groups));
      quantize_columns_kernel<decltype(aligned)::value>
          <<<grid, kBlock, 0, static_cast<cudaStream_t>(exec.stream())>>>(f, f.rows % 16 == 0);
    });
    return;
  }
#endif
  for_each_row(exec, pieces * f.groups, f);
}

}  // namespace

Fp8Matrix quantize_columns(Exec& exec, ConstTensorView x, DType format) {
  check_rank("quantize_columns", "x", x, 2);
  const int64_t T = x.dim(0), N = x.dim(1);
  Fp8Matrix m{exec.scratch(format, {N, T}), exec.scratch(DType::kF32, {fp8_blocks(T), N}),
              Fp8Scaling::kPieces};
  with_fp8(format, "quantize_columns", [&](auto kind) {
    with_float(x.dtype, "quantize_columns", [&](auto element) {
      using E = decltype(element);
      run(exec, QuantizeColumns<E, decltype(kind)>{x.rows<E>(), static_cast<uint8_t*>(m.values.ptr),
                                                   m.scales.data<float>(), T, N,
                                                   (N + kColumns - 1) / kColumns});
    });
  });
  std::swap(m.scales.shape[0], m.scales.shape[1]);
  std::swap(m.scales.stride[0], m.scales.stride[1]);
  return m;
}

}  // namespace moiety::ops
