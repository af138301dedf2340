// Matrices of 8-bit floats and their products, on both devices: quantised bits against the
// definition, products against float64 products of what the matrices hold.
#include "core/ops/fp8.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "core/device/build.h"
#include "core/ops/fp8_number.h"
#include "core/ops/fp8_products.h"
#include "tests/unit/ops/op_test.h"

namespace moiety {
namespace {

using ops::Fp8Matrix;
using ops::Fp8ScaleOrder;
using ops::kFp8Block;
using ops::Transpose;

struct Shape {
  int64_t rows, columns;
};
const Shape kShapes[] = {{1, 1}, {3, 129}, {130, 7}, {256, 384}, {200, 136}, {64, 1000}};

class Fp8Test : public OpTest {
 protected:
  std::vector<uint8_t> codes(const Fp8Matrix& m) {
    std::vector<uint8_t> bytes(count(m.values.numel()));
    download(bytes.data(), m.values, bytes.size());
    return bytes;
  }
  /// Scale (outer, inner) of matrix l.
  float scale(const Fp8Matrix& m, int64_t l, int64_t outer, int64_t inner) {
    const TensorView& s = m.scales;
    const int64_t at = (s.rank == 3 ? l * s.stride[0] : 0) + outer * s.stride[count(s.rank - 2)] +
                       inner * s.stride[count(s.rank - 1)];
    float value = 0;
    context_->copy(&value, static_cast<const float*>(s.ptr) + at, sizeof value);
    context_->synchronize();
    return value;
  }
  /// What m holds, in float64, from its codes and scales.
  Vector values(const Fp8Matrix& m) {
    const TensorView out = m.values.rank == 2
                               ? make(DType::kF32, {m.rows(), m.depth()})
                               : make(DType::kF32, {m.values.dim(0), m.rows(), m.depth()});
    ops::dequantize(exec_, m, out);
    return wide(out);
  }
  /// Every block of x, read by at(row, k), has the scale and the codes of the definition.
  template <class Format>
  void expect_definition(const Fp8Matrix& m, int64_t l, int64_t block_rows,
                         const std::function<float(int64_t, int64_t)>& at) {
    const std::vector<uint8_t> got = codes(m);
    const int64_t R = m.rows(), K = m.depth();
    for (int64_t top = 0; top < R; top += block_rows) {
      for (int64_t begin = 0; begin < K; begin += kFp8Block) {
        const int64_t bottom = std::min(R, top + block_rows), end = std::min(K, begin + kFp8Block);
        float largest = 0;
        for (int64_t r = top; r < bottom; ++r) {
          for (int64_t k = begin; k < end; ++k) largest = std::max(largest, std::abs(at(r, k)));
        }
        const float s = largest == 0 ? 1 : largest / Format::kLargest;
        ASSERT_EQ(scale(m, l, top / block_rows, begin / kFp8Block), s) << top << " " << begin;
        for (int64_t r = top; r < bottom; ++r) {
          for (int64_t k = begin; k < end; ++k) {
            ASSERT_EQ(got[count((l * R + r) * K + k)], ops::fp8_of<Format>(at(r, k) * (1 / s)))
                << r << " " << k;
          }
        }
      }
    }
  }
  template <class F>
  void each_format(const F& body) {
    body(ops::E4M3{});
    body(ops::E5M2{});
  }
  /// Magnitudes of about 2^-deviation to 2^deviation and zeros, so that blocks differ and subnormal
  /// codes occur.
  TensorView spread(std::initializer_list<int64_t> shape, uint32_t seed, float deviation = 3) {
    int64_t n = 1;
    for (const int64_t d : shape) n *= d;
    std::vector<float> x = normal(count(n), seed);
    const std::vector<float> power = normal(count(n), seed + 1, deviation);
    for (size_t i = 0; i < x.size(); ++i) x[i] *= i % 11 == 0 ? 0 : std::exp2(power[i]);
    return put(x, dtype(), shape);
  }
  Vector product(const Vector& a, const Vector& b, int64_t M, int64_t N, int64_t K) const {
    Vector c(count(M * N), 0.0);
    for (int64_t m = 0; m < M; ++m) {
      for (int64_t n = 0; n < N; ++n) {
        for (int64_t k = 0; k < K; ++k)
          c[count(m * N + n)] += a[count(m * K + k)] * b[count(n * K + k)];
      }
    }
    return c;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, Fp8Test, kFloatDevices, case_name);

TEST_P(Fp8Test, RowsHaveAScaleForEach128Columns) {
  for (const Shape& s : kShapes) {
    const TensorView x = spread({s.rows, s.columns}, 1);
    const std::vector<float> fx = get(x);
    const auto at = [&](int64_t r, int64_t k) { return fx[count(r * s.columns + k)]; };
    each_format([&](auto format) {
      using Format = decltype(format);
      for (const auto order : {Fp8ScaleOrder::kByPiece, Fp8ScaleOrder::kByRow}) {
        const Fp8Matrix m = ops::quantize_rows(exec_, x, Format::kType, order);
        EXPECT_EQ(m.scales.stride[order == Fp8ScaleOrder::kByPiece ? 0 : 1], 1);
        expect_definition<Format>(m, 0, 1, at);
      }
    });
  }
}

TEST_P(Fp8Test, RowsMayBeStrided) {
  const TensorView x = spread({40, 264}, 1), part = x.slice(1, 8, 200);
  const std::vector<float> fx = get(x);
  const auto at = [&](int64_t r, int64_t k) { return fx[count(r * 264 + 8 + k)]; };
  expect_definition<ops::E4M3>(
      ops::quantize_rows(exec_, part, DType::kF8E4M3, Fp8ScaleOrder::kByPiece), 0, 1, at);
  expect_definition<ops::E5M2>(ops::quantize_columns(exec_, part, DType::kF8E5M2), 0, 1,
                               [&](int64_t r, int64_t k) { return at(k, r); });
}

TEST_P(Fp8Test, ColumnsAreTheTransposeWithAScaleForEach128Rows) {
  for (const Shape& s : kShapes) {
    const TensorView x = spread({s.rows, s.columns}, 1);
    const std::vector<float> fx = get(x);
    const auto at = [&](int64_t r, int64_t k) { return fx[count(k * s.columns + r)]; };
    each_format([&](auto format) {
      using Format = decltype(format);
      const Fp8Matrix m = ops::quantize_columns(exec_, x, Format::kType);
      EXPECT_EQ(m.rows(), s.columns);
      EXPECT_EQ(m.scales.stride[0], 1);
      expect_definition<Format>(m, 0, 1, at);
    });
  }
}

TEST_P(Fp8Test, WeightsHaveAScaleForEachSquareAndTheSameNumbersTurned) {
  for (const Shape& s : kShapes) {
    for (const int64_t L : {int64_t{0}, int64_t{3}}) {
      const TensorView w =
          L == 0 ? spread({s.rows, s.columns}, 1) : spread({L, s.rows, s.columns}, 1);
      const std::vector<float> fw = get(w);
      const Fp8Matrix plain = ops::quantize_blocks(exec_, w, Transpose::kNo);
      const Fp8Matrix turned = ops::quantize_blocks(exec_, w, Transpose::kYes);
      EXPECT_EQ(plain.scales.stride[L == 0 ? 0 : 1] % 4, 0);
      for (int64_t l = 0; l < std::max<int64_t>(L, 1); ++l) {
        const auto at = [&](int64_t r, int64_t k) {
          return fw[count((l * s.rows + r) * s.columns + k)];
        };
        expect_definition<ops::E4M3>(plain, l, kFp8Block, at);
        expect_definition<ops::E4M3>(turned, l, kFp8Block,
                                     [&](int64_t r, int64_t k) { return at(k, r); });
      }
    }
  }
}

TEST_P(Fp8Test, ValuesComeBackWithinHalfAUnitOfTheirBlock) {
  const TensorView x = random({70, 300}, 1), w = random({2, 70, 300}, 2);
  const auto near_to = [&](const Fp8Matrix& m, const TensorView& of, double unit) {
    const Vector got = values(m), want = wide(of);
    for (size_t i = 0; i < want.size(); ++i) {  // a normal code, or a subnormal one of the block
      ASSERT_NEAR(got[i], want[i], std::max(std::abs(want[i]) * unit, 8.0 * unit * unit)) << i;
    }
  };
  near_to(ops::quantize_rows(exec_, x, DType::kF8E4M3, Fp8ScaleOrder::kByRow), x, 0.0625);
  near_to(ops::quantize_rows(exec_, x, DType::kF8E5M2, Fp8ScaleOrder::kByPiece), x, 0.125);
  near_to(ops::quantize_blocks(exec_, w, Transpose::kNo), w, 0.0625);
}

TEST_P(Fp8Test, WhatIsNotFiniteStaysVisible) {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    std::vector<float> x = normal(2 * 300, 1);
    x[130] = bad;
    const TensorView t = put(x, dtype(), {2, 300});
    const auto check = [&](const Fp8Matrix& m, size_t at) {
      EXPECT_TRUE(std::isnan(values(m)[at]));
    };
    check(ops::quantize_rows(exec_, t, DType::kF8E4M3, Fp8ScaleOrder::kByRow), 130);
    check(ops::quantize_columns(exec_, t, DType::kF8E5M2), 130 * 2);
    check(ops::quantize_blocks(exec_, t, Transpose::kNo), 130);
  }
}

TEST_P(Fp8Test, AnAllZeroBlockHasTheScaleOneAndTinyOnesStayFinite) {
  std::vector<float> x(2 * 256, 0.f);
  x[256 + 130] = dtype() == DType::kF16 ? 6e-8f : 1e-38f;
  const TensorView t = put(x, dtype(), {2, 256});
  const Fp8Matrix m = ops::quantize_rows(exec_, t, DType::kF8E4M3, Fp8ScaleOrder::kByRow);
  EXPECT_EQ(scale(m, 0, 0, 0), 1.f);
  EXPECT_GT(scale(m, 0, 1, 1), 0.f);
  const Vector back = values(m), want = wide(t);
  for (size_t i = 0; i < back.size(); ++i) EXPECT_NEAR(back[i], want[i], 1e-30) << i;
}

// M, N, K: multiples of 16 for the card's own product, and not.
const int64_t kProducts[][3] = {
    {64, 128, 256}, {272, 144, 400}, {5, 7, 9}, {33, 130, 129}, {16, 16, 16}};

TEST_P(Fp8Test, ProductsAreThoseOfTheDequantisedOperands) {
  for (const auto& [M, N, K] : kProducts) {
    const TensorView x = spread({M, K}, 1, 1), y = spread({N, K}, 3, 1), w = spread({K, N}, 5, 1);
    const TensorView xt = spread({K, M}, 7, 1), yt = spread({K, N}, 9, 1);
    const Fp8Matrix pairs[][2] = {
        {ops::quantize_rows(exec_, x, DType::kF8E4M3, Fp8ScaleOrder::kByPiece),
         ops::quantize_blocks(exec_, w, Transpose::kYes)},
        {ops::quantize_rows(exec_, x, DType::kF8E5M2, Fp8ScaleOrder::kByPiece),
         ops::quantize_blocks(exec_, y, Transpose::kNo)},
        {ops::quantize_columns(exec_, xt, DType::kF8E4M3),
         ops::quantize_columns(exec_, yt, DType::kF8E5M2)}};
    for (const auto& [a, b] : pairs) {
      const Vector plain = product(values(a), values(b), M, N, K);
      for (const DType out : {dtype(), DType::kF32}) {
        for (const bool accumulate : {false, true}) {
          const TensorView c = put(normal(count(M * N), 11), out, {M, N});
          Vector want = plain;
          const Vector before = wide(c);
          for (size_t i = 0; accumulate && i < want.size(); ++i) want[i] += before[i];
          ops::fp8_gemm(exec_, a, b, c, {.accumulate = accumulate});
          // On CUDA the fallback rounds the dequantised operands to bf16.
          const double slack = GetParam().device == DeviceType::kCuda ? 1e-2 : 1e-5;
          const double rounding = out == DType::kF32 ? 0 : out == DType::kF16 ? 1e-3 : 8e-3;
          EXPECT_LE(worst(get(c), reference::narrow(want)), slack + rounding)
              << M << "x" << N << "x" << K << " to " << name_of(out) << " += " << accumulate;
        }
      }
    }
  }
}

/// Sums in f32 of exact products: far nearer than the fallback's rounded operands come.
TEST_P(Fp8Test, TheCardsOwnProductServesEveryPairAndIsTight) {
  if (GetParam().device != DeviceType::kCuda) return;
  if constexpr (kCuda) {
    if (context_->compute_capability() != 90) GTEST_SKIP() << "needs compute capability 9.0";
    for (const auto& [M, N, K] : {std::array<int64_t, 3>{64, 128, 256}, {272, 144, 400}}) {
      const TensorView x = spread({M, K}, 1, 1), y = spread({N, K}, 3, 1), w = spread({K, N}, 5, 1);
      const Fp8Matrix pairs[][2] = {
          {ops::quantize_rows(exec_, x, DType::kF8E4M3, Fp8ScaleOrder::kByPiece),
           ops::quantize_blocks(exec_, w, Transpose::kYes)},
          {ops::quantize_rows(exec_, x, DType::kF8E5M2, Fp8ScaleOrder::kByPiece),
           ops::quantize_blocks(exec_, y, Transpose::kNo)},
          {ops::quantize_columns(exec_, spread({K, M}, 7, 1), DType::kF8E4M3),
           ops::quantize_columns(exec_, spread({K, N}, 9, 1), DType::kF8E5M2)}};
      for (size_t i = 0; i < std::size(pairs); ++i) {
        const auto& [a, b] = pairs[i];
        const TensorView c = put(normal(count(M * N), 11), DType::kF32, {M, N});
        Vector want = product(values(a), values(b), M, N, K);
        const Vector before = wide(c);
        for (size_t j = 0; j < want.size(); ++j) want[j] += before[j];
        ASSERT_TRUE(ops::cuda::fp8_gemm(exec_, a, b, c, /*accumulate=*/true)) << i;
        EXPECT_LE(worst(get(c), reference::narrow(want)), 1e-3) << i;
        const TensorView narrow = make(DType::kBF16, {M, N});
        EXPECT_TRUE(ops::cuda::fp8_gemm(exec_, a, b, narrow, /*accumulate=*/false)) << i;
      }
    }
  }
}

TEST_P(Fp8Test, ABiasIsAddedToEveryRow) {
  const TensorView x = random({48, 160}, 1), w = random({160, 96}, 2), bias = random_f32({96}, 3);
  const TensorView y = make(dtype(), {48, 96}), plain = make(dtype(), {48, 96});
  ops::fp8_product(exec_, x, w, {}, plain);
  ops::fp8_product(exec_, x, w, bias, y);
  Vector want = wide(plain);
  const Vector fb = wide(bias);
  for (size_t i = 0; i < want.size(); ++i) want[i] += fb[i % 96];
  near(y, want);
}

/// Of the largest element: an operand is off by 2^-4 (E4M3) or 2^-3 (E5M2) of itself at most, its
/// sum over 256 by far less.
TEST_P(Fp8Test, ALayersThreeProductsAreNearTheUnquantisedOnes) {
  const int64_t T = 144, D = 256, N = 208;
  const TensorView x = random({T, D}, 1), w = random({D, N}, 2), dy = random({T, N}, 3);
  const TensorView y = make(dtype(), {T, N}), dx = make(dtype(), {T, D});
  const TensorView dw = put(std::vector<float>(count(D * N), 0.f), DType::kF32, {D, N});
  ops::fp8_product(exec_, x, w, {}, y);
  ops::fp8_input_gradient(exec_, dy, w, dx);
  for (int i = 0; i < 2; ++i) ops::fp8_weight_gradient(exec_, x, dy, dw, /*accumulate=*/true);
  const Vector fx = wide(x), fw = wide(w), fdy = wide(dy);
  Vector want_y(count(T * N)), want_dx(count(T * D)), want_dw(count(D * N));
  for (int64_t t = 0; t < T; ++t) {
    for (int64_t d = 0; d < D; ++d) {
      for (int64_t n = 0; n < N; ++n) {
        want_y[count(t * N + n)] += fx[count(t * D + d)] * fw[count(d * N + n)];
        want_dx[count(t * D + d)] += fdy[count(t * N + n)] * fw[count(d * N + n)];
        want_dw[count(d * N + n)] += 2 * fx[count(t * D + d)] * fdy[count(t * N + n)];
      }
    }
  }
  EXPECT_LE(worst(get(y), reference::narrow(want_y)), 0.04);
  EXPECT_LE(worst(get(dx), reference::narrow(want_dx)), 0.08);
  EXPECT_LE(worst(get(dw), reference::narrow(want_dw)), 0.08);
  EXPECT_GT(worst(get(y), reference::narrow(want_y)), 1e-3) << "nothing was quantised";
}

}  // namespace
}  // namespace moiety
