// Matrices of 8-bit floats with a scale for each small block, and their products (DeepSeek-AI,
// 2024, arXiv:2412.19437, section 3.3; Transformer Engine's Float8BlockScaling).
//
// A block's scale is its largest magnitude / the format's largest number (1 where all is zero; at
// least 2^-100 / that number), in f32. A value is x * (1 / scale), rounded to nearest even. A block
// with an infinity or a NaN reads back as NaN. Letters: M, N rows of the two operands, K what a
// product sums over. The last block of an axis may be short.
#pragma once

#include <cstdint>

#include <moiety/exec.h>
#include <moiety/ops.h>

namespace moiety::ops {

/// Numbers under one scale, along K and, for weights, along both axes.
inline constexpr int64_t kFp8Block = 128;

enum class Fp8Scaling : uint8_t {
  kPieces,  // 1 x 128 along K
  kBlocks,  // 128 x 128
};

/// K is the last axis, as tensor cores read 8-bit operands.
struct Fp8Matrix {
  TensorView values;  // f8e4m3 or f8e5m2, contiguous [rows, K]; of weights also [L, rows, K]
  /// f32. kPieces: [rows, ceil(K / 128)], either axis contiguous (Fp8ScaleOrder). kBlocks:
  /// [ceil(rows / 128), ceil(K / 128)], with an L in front where values have one; K's axis is
  /// contiguous, the stride of the axis before it is ceil(K / 128) rounded up to a multiple of 4,
  /// with zeros in the gap.
  TensorView scales;
  Fp8Scaling scaling = Fp8Scaling::kPieces;

  DType format() const { return values.dtype; }
  int64_t rows() const { return values.dim(-2); }
  int64_t depth() const { return values.dim(-1); }  ///< K
};

/// How the scales of pieces lie: all rows of a piece together, as cuBLASLt reads them, or all
/// pieces of a row, for kernels that gather rows.
enum class Fp8ScaleOrder : uint8_t { kByPiece, kByRow };

// Each makes its result in exec's scratch memory. x and w are f32, bf16 or f16.

/// x [R, K], rows may be strided: pieces of 128 along each row.
MOIETY_API Fp8Matrix quantize_rows(Exec&, ConstTensorView x, DType format, Fp8ScaleOrder);
/// x [T, N], rows may be strided: its transpose [N, T] in pieces of 128 rows of x, by piece.
MOIETY_API Fp8Matrix quantize_columns(Exec&, ConstTensorView x, DType format);
/// w, contiguous, [A, B] or [L, A, B], in E4M3 by blocks: as it lies, or with kYes its transpose
/// [B, A]. Both have the same numbers.
MOIETY_API Fp8Matrix quantize_blocks(Exec&, ConstTensorView w, Transpose);
/// out = value * scale. out is f32, bf16 or f16, contiguous, shaped as m.values.
MOIETY_API void dequantize(Exec&, const Fp8Matrix& m, TensorView out);

struct Fp8GemmForm {
  bool accumulate = false;    // c += instead of c =
  ConstTensorView bias = {};  // f32 [N], added to every row after the product was rounded to c
};

/// c [M, N] = a b^T for a [M, K] and b [N, K], either one or none of them by blocks; c is f32, bf16
/// or f16, rows may be strided. Sums in f32. On CUDA with compute capability 9.0 by cuBLASLt where
/// it can (M and N multiples of 16, K of 16, not E5M2 twice, pieces' scales by piece), elsewhere
/// the ordinary product of dequantised operands: on the CPU these are f32, on CUDA bf16 (f16 for an
/// f16 c).
MOIETY_API void fp8_gemm(Exec&, const Fp8Matrix& a, const Fp8Matrix& b, TensorView c,
                         const Fp8GemmForm& form = {});

namespace cuda {
/// The product by cuBLASLt without a bias, or false where it has none.
MOIETY_API bool fp8_gemm(Exec&, const Fp8Matrix& a, const Fp8Matrix& b, TensorView c,
                         bool accumulate);
}  // namespace cuda

}  // namespace moiety::ops
