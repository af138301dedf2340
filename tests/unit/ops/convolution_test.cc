// Patches, pooling and images, against plain loops; backward as the adjoint of forward.
#include "core/ops/convolution.h"

#include "tests/unit/ops/op_test.h"

namespace moiety {

class ConvolutionOps : public OpTest {
 protected:
  static constexpr int64_t B = 2, H = 7, W = 6, C = 3, K = 3;
  static constexpr int64_t OH = H - K + 1, OW = W - K + 1;
  static size_t at(int64_t b, int64_t y, int64_t x, int64_t c) {
    return count(((b * H + y) * W + x) * C + c);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, ConvolutionOps, kFloatDevices, case_name);

TEST_P(ConvolutionOps, PatchesAreTheWindows) {
  const TensorView x = random({B, H, W, C}, 1), out = make(dtype(), {B * OH * OW, K * K * C});
  ops::unfold(exec_, K, x, out);
  const std::vector<float> in = get(x);
  std::vector<float> expected;
  for (int64_t b = 0; b < B; ++b)
    for (int64_t y = 0; y < OH; ++y)
      for (int64_t z = 0; z < OW; ++z)
        for (int64_t i = 0; i < K; ++i)
          for (int64_t j = 0; j < K; ++j)
            for (int64_t c = 0; c < C; ++c) expected.push_back(in[at(b, y + i, z + j, c)]);
  EXPECT_EQ(get(out), expected);
}

TEST_P(ConvolutionOps, UnfoldBackwardIsItsAdjoint) {
  const TensorView x = random({B, H, W, C}, 1), dout = random({B * OH * OW, K * K * C}, 2);
  const TensorView out = make(dtype(), {B * OH * OW, K * K * C}), dx = make(dtype(), {B, H, W, C});
  ops::unfold(exec_, K, x, out);
  ops::unfold_backward(exec_, K, dout, dx);
  const double forward = reference::dot(wide(out), wide(dout)),
               backward = reference::dot(wide(x), wide(dx));
  EXPECT_NEAR(forward, backward, 40 * tolerance());
}

TEST_P(ConvolutionOps, PoolTakesTheLargestAboveZero) {
  const TensorView x = random({B, H, W, C}, 3), out = make(dtype(), {B, H / 2, W / 2, C});
  const TensorView dout = random({B, H / 2, W / 2, C}, 4), dx = make(dtype(), {B, H, W, C});
  ops::relu_max_pool(exec_, x, out);
  ops::relu_max_pool_backward(exec_, x, dout, dx);
  const std::vector<float> in = get(x), slope = get(dout);
  std::vector<float> expected, gradient(in.size(), 0.0f);
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t y = 0; y < H / 2; ++y) {
      for (int64_t z = 0; z < W / 2; ++z) {
        for (int64_t c = 0; c < C; ++c) {
          size_t best = at(b, 2 * y, 2 * z, c);
          for (const size_t other : {at(b, 2 * y, 2 * z + 1, c), at(b, 2 * y + 1, 2 * z, c),
                                     at(b, 2 * y + 1, 2 * z + 1, c)}) {
            if (in[other] > in[best]) best = other;
          }
          if (in[best] > 0) gradient[best] = slope[expected.size()];
          expected.push_back(std::max(in[best], 0.0f));
        }
      }
    }
  }
  EXPECT_EQ(get(out), expected);
  EXPECT_EQ(get(dx), gradient);
}

TEST_P(ConvolutionOps, ImagesBecomeRowsOfPixels) {
  std::vector<uint8_t> bytes(count(2 * 3 * 2 * 4));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(5 * i);
  const TensorView image = make(DType::kU8, {2, 3, 2, 4}), out = make(dtype(), {2, 2, 4, 3});
  context_->copy(image.ptr, bytes.data(), bytes.size());
  ops::image_rows(exec_, image, out);
  Vector expected;
  for (size_t b = 0; b < 2; ++b)
    for (size_t p = 0; p < 8; ++p)
      for (size_t c = 0; c < 3; ++c)
        expected.push_back((bytes[b * 24 + c * 8 + p] / 255.0 - 0.5) / 0.5);
  near(out, expected);
}

}  // namespace moiety
