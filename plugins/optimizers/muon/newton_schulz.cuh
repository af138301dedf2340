// The nearest orthogonal matrix by a quintic Newton-Schulz iteration (Jordan et al., 2024), for
// several matrices of one size: products from the core, what lies between them here.
#pragma once

#include <cstdint>
#include <vector>

#include <moiety/ops.h>
#include <moiety/blocks.cuh>

namespace muon {

/// The type in which matrices are kept between products. On the CPU bf16 lies in f32 words that
/// hold rounded values: the products have the same bits and need no conversion.
struct Cell {
  moiety::DType dtype = moiety::DType::kF32;
  bool round = false;

  MOIETY_HD float rounded(float x) const {
    return round ? static_cast<float>(moiety::BFloat16(x)) : x;
  }
  MOIETY_HD float load(const void* p, int64_t i) const {
    if (dtype == moiety::DType::kBF16) {
      return static_cast<float>(static_cast<const moiety::BFloat16*>(p)[i]);
    }
    return static_cast<const float*>(p)[i];
  }
  MOIETY_HD void store(void* p, int64_t i, float x) const {
    if (dtype == moiety::DType::kBF16) {
      static_cast<moiety::BFloat16*>(p)[i] = moiety::BFloat16(x);
    } else {
      static_cast<float*>(p)[i] = rounded(x);
    }
  }
};

/// to = from * factor + product, rounded once; `from` may be `to`.
struct Combine {
  static constexpr int kSums = 0;
  static constexpr int64_t kPiece = 4096;
  Cell cell;
  const void* from;
  float factor;
  const float* product;
  float product_factor;
  void* to;
  int64_t size;

  MOIETY_HD void run(int64_t block, int64_t lane, int64_t lanes, double*) const {
    const int64_t begin = block * kPiece;
    const int64_t end = begin + kPiece < size ? begin + kPiece : size;
    for (int64_t i = begin + lane; i < end; i += lanes) {
      const float x = factor == 0.f ? 0.f : factor * cell.load(from, i);
      cell.store(to, i, x + product_factor * product[i]);
    }
  }
};

inline void combine(moiety::Exec& exec, const Combine& c) {
  moiety::for_each_block(exec, (c.size + Combine::kPiece - 1) / Combine::kPiece, c);
}

/// Memory for `count` matrices of n x m, n <= m.
struct Buffers {
  void *x, *gram, *mix;  // [count, n, m], [count, n, n] twice; of the cell's type
  float *wide, *square;  // [count, n, m], [count, n, n]
};

struct Batch {
  int64_t count = 0, n = 0, m = 0;
  moiety::Segments segments;  // matrix g: rows [g n, (g + 1) n)
};

/// Turns the matrices in buffers.x into nearly orthogonal ones, in place. Coefficients of Jordan et
/// al., which torch.optim.Muon has too.
inline void orthogonalize(moiety::Exec& exec, const Batch& b, const Buffers& to, Cell cell,
                          int64_t steps) {
  using moiety::DType, moiety::TensorView, moiety::view_of;
  constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;
  const moiety::Device device = exec.device();
  const int64_t rows = b.count * b.n, squares = rows * b.n, elements = rows * b.m;
  const TensorView x = view_of(to.x, cell.dtype, {rows, b.m}, device),
                   x3 = view_of(to.x, cell.dtype, {b.count, b.n, b.m}, device),
                   gram = view_of(to.gram, cell.dtype, {rows, b.n}, device),
                   gram3 = view_of(to.gram, cell.dtype, {b.count, b.n, b.n}, device),
                   mix = view_of(to.mix, cell.dtype, {rows, b.n}, device),
                   square = view_of(to.square, DType::kF32, {rows, b.n}, device),
                   wide = view_of(to.wide, DType::kF32, {rows, b.m}, device);
  for (int64_t i = 0; i < steps; ++i) {
    moiety::ops::grouped_gemm(exec, b.segments, x, x3, square, moiety::ops::Transpose::kYes);
    combine(exec, {cell, nullptr, 0, to.square, 1, to.gram, squares});
    moiety::ops::grouped_gemm(exec, b.segments, gram, gram3, square);
    combine(exec, {cell, to.gram, kB, to.square, kC, to.mix, squares});
    moiety::ops::grouped_gemm(exec, b.segments, mix, x3, wide);
    combine(exec, {cell, to.x, kA, to.wide, 1, to.x, elements});
  }
}

}  // namespace muon
