// The rows of latent attention: where every number goes, and that backward is the transpose.
#include "core/ops/latent.h"

#include "core/ops/elementwise.h"
#include "tests/unit/ops/op_test.h"

namespace moiety {

class Latent : public OpTest {
 protected:
  const ops::LatentShape shape_{.heads = 3, .nope = 5, .rope = 2, .value = 4};
  static constexpr int64_t kTokens = 7;
};
INSTANTIATE_TEST_SUITE_P(Devices, Latent, kFloatDevices, case_name);

TEST_P(Latent, QueriesThenKeysThenValues) {
  const TensorView q = random({kTokens, 21}, 1), kv = random({kTokens, 27}, 2);
  const TensorView latent = random({kTokens, 6}, 3);  // the turning part lies behind others
  const TensorView qkv = make(dtype(), {kTokens, shape_.qkv_width()});
  ops::latent_qkv(exec_, shape_, q, kv, latent.slice(1, 4, 2), qkv);
  const std::vector<float> from_q = get(q), from_kv = get(kv), from_latent = get(latent);
  std::vector<float> expected;
  for (size_t t = 0; t < kTokens; ++t) {
    for (size_t c = 0; c < 21; ++c) expected.push_back(from_q[t * 21 + c]);
    for (size_t h = 0; h < 3; ++h) {
      for (size_t c = 0; c < 5; ++c) expected.push_back(from_kv[t * 27 + h * 9 + c]);
      for (size_t c = 0; c < 2; ++c) expected.push_back(from_latent[t * 6 + 4 + c]);
    }
    for (size_t h = 0; h < 3; ++h) {
      for (size_t c = 0; c < 4; ++c) expected.push_back(from_kv[t * 27 + h * 9 + 5 + c]);
    }
  }
  EXPECT_EQ(get(qkv), expected);
}

/// <L x, d> = <x, L^T d> for the linear map L of forward.
TEST_P(Latent, BackwardIsTheTranspose) {
  const TensorView q = random({kTokens, 21}, 1), kv = random({kTokens, 27}, 2);
  const TensorView rope = random({kTokens, 2}, 3), d = random({kTokens, shape_.qkv_width()}, 4);
  const TensorView qkv = make(dtype(), {kTokens, shape_.qkv_width()});
  ops::latent_qkv(exec_, shape_, q, kv, rope, qkv);
  const TensorView dq = make(dtype(), {kTokens, 21}), dkv = make(dtype(), {kTokens, 27});
  const TensorView drope = make(dtype(), {kTokens, 2});
  ops::latent_qkv_backward(exec_, shape_, d, dq, dkv, drope);
  const double forward = reference::dot(wide(qkv), wide(d));
  const double backward = reference::dot(wide(q), wide(dq)) + reference::dot(wide(kv), wide(dkv)) +
                          reference::dot(wide(rope), wide(drope));
  EXPECT_NEAR(forward, backward, tolerance() * 20);
}

TEST_P(Latent, WrongWidthsAreRefused) {
  const TensorView qkv = make(dtype(), {2, shape_.qkv_width()});
  EXPECT_THROW(ops::latent_qkv(exec_, shape_, random({2, 20}, 1), random({2, 27}, 1),
                               random({2, 2}, 1), qkv),
               Error);
}

TEST_P(Latent, RowsAreCopiedBetweenWiderOnes) {
  const TensorView from = random({4, 9}, 1), to = random({4, 6}, 2);
  const std::vector<float> a = get(from), b = get(to);
  ops::copy_rows(exec_, from.slice(1, 2, 3), to.slice(1, 1, 3));
  const std::vector<float> got = get(to);
  for (size_t i = 0; i < got.size(); ++i) {
    const size_t row = i / 6, column = i % 6;
    const bool copied = column >= 1 && column < 4;
    EXPECT_EQ(got[i], copied ? a[row * 9 + column + 1] : b[i]);
  }
}

}  // namespace moiety
