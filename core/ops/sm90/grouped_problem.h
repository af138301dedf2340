// What the grouped products of compute capability 9.0 are asked for, in plain pointers: the kernels
// and their checks need nothing else of the core.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace moiety::ops::sm90 {

/// kE4M3 and kE5M2, of one byte, are for operands with scales; kF32 is for results alone.
enum class Number : uint8_t { kBF16, kF16, kF32, kE4M3, kE5M2 };
constexpr int bytes_of(Number number) {
  return number == Number::kF32 ? 4 : number == Number::kBF16 || number == Number::kF16 ? 2 : 1;
}
constexpr bool is_scaled(Number number) { return bytes_of(number) == 1; }

/// A row-major matrix; the pitch counts elements.
struct Matrix {
  void* data = nullptr;
  int64_t rows = 0, columns = 0, pitch = 0;
};

/// Segment g is slots [start[g], start[g] + count[g]) and belongs to expert g % experts.
struct SegmentList {
  const int32_t *start = nullptr, *count = nullptr;  // on the device
  int number = 0;
};

/// What the bytes of scaled operands stand for: element (r, k) of a counts a[r, k / 128] times its
/// value, element (j, k) of w, which is in e4m3, w[e, j / 128, k / 128] times.
struct OperandScales {
  const float* a = nullptr;  // [rows of a, a_pitch]
  int a_pitch = 0;
  const float* w = nullptr;  // dense [experts, ceil(J / 128), w_pitch]
  int w_pitch = 0;
};

/// out[n] = a[n] w[expert of n], or times its transpose, the only form of scaled operands.
struct ProductProblem {
  SegmentList segments;
  Matrix a;                      // [N, K], or [R, K] with row
  const int32_t* row = nullptr;  // slot n's row of a; null: slot n is row n
  const void* w = nullptr;       // dense [experts, K, J], or [experts, J, K] if transposed
  Matrix out;                    // [N, J]
  int experts = 1;
  bool transposed = false;
  Number operands = Number::kBF16, result = Number::kBF16;
  OperandScales scales = {};
};

/// grad[e] (+)= sum of a[n]^T dout[n] over the slots of expert e.
struct GradientProblem {
  SegmentList segments;
  Matrix a, dout;                                       // [N, K], [N, J]
  const int32_t *a_row = nullptr, *dout_row = nullptr;  // as ProductProblem::row; one at most
  void* grad = nullptr;                                 // dense [experts, K, J]
  int experts = 1;
  bool accumulate = false;
  Number operands = Number::kBF16, result = Number::kF32;
};

/// h = a w + bias with its activation, or with the gated one: h [N, 2H] holds gate and up.
struct ActivatedProblem {
  ProductProblem product;       // out is h; transposed if scaled
  const float* bias = nullptr;  // [experts, H] or null; none for a gated one
  Matrix activated;             // [N, H]
  int activation = 0;           // ops::Activation
  bool gated = false;
};

/// dA = a w^T is not stored; it yields dh, the activation again, and <A, dA> in parts.
struct ActivatedBackwardProblem {
  ProductProblem product;         // transposed; a is dout; out is dh [N, H] or [N, 2H]
  Matrix h;                       // like dh
  const float* weight = nullptr;  // [N] or null: dh and `activated` are multiplied by it
  Matrix activated;               // [N, H]
  float* dot_parts = nullptr;     // [N, dot_parts(problem)] or null
  int activation = 0;
  bool gated = false;
};

/// Whether the copy engine takes the problem (pitches and addresses of 16 bytes) and its segments
/// fit. Sizes alone decide.
bool accepts(const ProductProblem& problem);
bool accepts(const GradientProblem& problem);
bool accepts(const ActivatedProblem& problem);
bool accepts(const ActivatedBackwardProblem& problem);

/// Into how many parts <A, dA> of a slot is cut.
int dot_parts(const ActivatedBackwardProblem& problem);

/// Launch on `stream`, without a wait or an allocation. Need accepts(problem).
void run(const ProductProblem& problem, cudaStream_t stream);
void run(const GradientProblem& problem, cudaStream_t stream);
void run(const ActivatedProblem& problem, cudaStream_t stream);
void run(const ActivatedBackwardProblem& problem, cudaStream_t stream);

}  // namespace moiety::ops::sm90
