// Rows in pieces of 128. On CUDA sixteen threads share a piece.
#include <moiety/rows.cuh>

#include "core/ops/dtype.h"
#include "core/ops/fp8_scale.cuh"
#include "core/ops/shape_checks.h"

namespace moiety::ops {

namespace {

template <class T, class Format>
struct QuantizePiece {
  Rows<const T> x;
  uint8_t* values;
  float* scales;
  int64_t width, pieces, row_stride, piece_stride;  // strides of the scales
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t row = i / pieces, piece = i % pieces, begin = piece * kFp8Block;
    const int64_t end = begin + kFp8Block < width ? begin + kFp8Block : width;
    const T* from = x[row];
    uint32_t largest = 0;
    for (int64_t k = begin; k < end; ++k) largest = larger(largest, magnitude_bits(from[k]));
    const Fp8Scale s = scale_of<Format>(largest);
    scales[row * row_stride + piece * piece_stride] = s.scale;
    for (int64_t k = begin; k < end; ++k) {
      values[row * width + k] = fp8_of<Format>(static_cast<float>(from[k]) * s.inverse);
    }
  }
};

#if defined(__CUDACC__)
constexpr int kBlock = 128, kThreadsOfPiece = 16, kPiecesOfBlock = kBlock / kThreadsOfPiece;

template <bool kAligned, class T, class Format>
__global__ void quantize_rows_kernel(QuantizePiece<T, Format> f, int64_t all) {
  const int lane = static_cast<int>(threadIdx.x) % kThreadsOfPiece;
  const int64_t i =
      blockIdx.x * int64_t{kPiecesOfBlock} + static_cast<int>(threadIdx.x) / kThreadsOfPiece;
  const int64_t row = i / f.pieces, piece = i % f.pieces;
  const int64_t k = piece * kFp8Block + lane * kFp8Pack;
  const int64_t left = i < all ? f.width - k : 0;
  float x[kFp8Pack] = {};
  if (left > 0) load_eight<kAligned>(f.x[row] + k, left, x);
  uint32_t largest = 0;
#pragma unroll
  for (int j = 0; j < kFp8Pack; ++j) largest = larger(largest, magnitude_bits(x[j]));
#pragma unroll
  for (int step = kThreadsOfPiece / 2; step > 0; step /= 2) {
    largest = larger(largest, __shfl_xor_sync(0xffffffffu, largest, step));
  }
  if (i >= all) return;
  const Fp8Scale s = scale_of<Format>(largest);
  if (lane == 0) f.scales[row * f.row_stride + piece * f.piece_stride] = s.scale;
  if (left > 0) {
    store_eight<kAligned>(eight_fp8<Format>(x, s.inverse), left, f.values + row * f.width + k);
  }
}
#endif

template <class T, class Format>
void run(Exec& exec, const QuantizePiece<T, Format>& f, int64_t rows) {
  const int64_t all = rows * f.pieces;
#if defined(__CUDACC__)
  if (exec.is_cuda()) {
    if (all == 0) return;
    with_alignment(f.x, f.width, [&](auto aligned) {
      const auto grid = static_cast<unsigned>((all + kPiecesOfBlock - 1) / kPiecesOfBlock);
      quantize_rows_kernel<decltype(aligned)::value>
          <<<grid, kBlock, 0, static_cast<cudaStream_t>(exec.stream())>>>(f, all);
    });
    return;
  }
#endif
  for_each_row(exec, all, f);
}

/// [rows, pieces], in the order that is asked for.
TensorView make_scales(Exec& exec, int64_t rows, int64_t pieces, Fp8ScaleOrder order) {
  if (order == Fp8ScaleOrder::kByRow) return exec.scratch(DType::kF32, {rows, pieces});
  TensorView scales = exec.scratch(DType::kF32, {pieces, rows});
  std::swap(scales.shape[0], scales.shape[1]);
  std::swap(scales.stride[0], scales.stride[1]);
  return scales;
}

}  // namespace

Fp8Matrix quantize_rows(Exec& exec, ConstTensorView x, DType format, Fp8ScaleOrder order) {
  check_rank("quantize_rows", "x", x, 2);
  const int64_t R = x.dim(0), K = x.dim(1);
  const Fp8Matrix m{exec.scratch(format, {R, K}), make_scales(exec, R, fp8_blocks(K), order),
                    Fp8Scaling::kPieces};
  with_fp8(format, "quantize_rows", [&](auto kind) {
    with_float(x.dtype, "quantize_rows", [&](auto element) {
      using T = decltype(element);
      run(exec,
          QuantizePiece<T, decltype(kind)>{x.rows<T>(), static_cast<uint8_t*>(m.values.ptr),
                                           static_cast<float*>(m.scales.ptr), K, fp8_blocks(K),
                                           m.scales.stride[0], m.scales.stride[1]},
          R);
    });
  });
  return m;
}

}  // namespace moiety::ops
