// Embeddings: lookups, and gradients summed per id in token order.
#include "core/ops/embedding.h"

#include "tests/unit/ops/op_test.h"

namespace moiety {

class Embedding : public OpTest {
 protected:
  void check(int64_t batch, int64_t sequence, int64_t V, int64_t D) {
    const int64_t T = batch * sequence;
    std::vector<int32_t> id(count(T));
    std::mt19937 draw(7);
    for (int32_t& i : id) i = static_cast<int32_t>(draw() % static_cast<uint32_t>(V));
    const TensorView ids = put(id, {T}), token = random({V, D}, 1);
    const TensorView position = random({sequence + 2, D}, 2), out = make(dtype(), {T, D});
    ops::embedding(exec_, ids, sequence, token, position, out);
    const Vector table = wide(token), place = wide(position);
    Vector expected(count(T * D));
    for (size_t i = 0; i < expected.size(); ++i) {
      const size_t t = i / count(D), c = i % count(D);
      expected[i] = table[count(id[t]) * count(D) + c] + place[t % count(sequence) * count(D) + c];
    }
    near(out, expected);

    const TensorView dy = random({T, D}, 3);
    Parameter::Impl token_p = parameter(token, GradMode::kOverwrite, 9);
    Parameter::Impl position_p = parameter(position, GradMode::kAccumulate, 0.5f);
    const Parameter token_handle(&token_p), position_handle(&position_p);
    ops::embedding_backward(exec_, ids, sequence, dy, token_handle, &position_handle, false);
    const Vector gradient = wide(dy);
    Vector dtoken(count(V * D), 0.0), dposition(count((sequence + 2) * D), 0.5);
    for (size_t i = 0; i < gradient.size(); ++i) {
      const size_t t = i / count(D), c = i % count(D);
      dtoken[count(id[t]) * count(D) + c] += gradient[i];
      dposition[t % count(sequence) * count(D) + c] += gradient[i];
    }
    near(token_p.grad, dtoken);
    near(position_p.grad, dposition);

    // A tied head wrote first: the same again on top.
    ops::embedding_backward(exec_, ids, sequence, dy, token_handle, nullptr, true);
    for (double& g : dtoken) g *= 2;
    near(token_p.grad, dtoken);
    expect_same_bits(token_p.grad, [&](Exec& exec) {
      ops::embedding_backward(exec, ids, sequence, dy, token_handle, nullptr, false);
    });
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, Embedding, kFloatDevices, case_name);

TEST_P(Embedding, OneToken) { check(1, 1, 5, 7); }
TEST_P(Embedding, OddSizes) { check(3, 11, 13, 33); }
TEST_P(Embedding, MoreIdsThanTokens) { check(2, 9, 1000, 4); }
TEST_P(Embedding, OneIdHasAllTokens) { check(4, 50, 1, 17); }

TEST_P(Embedding, AnUnknownIdIsNanForwardAndIgnoredBackward) {
  const TensorView ids = put(std::vector<int32_t>{1, -1, 2}, {3}), token = random({2, 3}, 1);
  const TensorView out = make(dtype(), {3, 3}), dy = random({3, 3}, 2);
  ops::embedding(exec_, ids, 3, token, {}, out);
  const auto y = get(out), table = get(token), g = get(dy);
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_EQ(y[c], table[3 + c]);
    EXPECT_TRUE(std::isnan(y[3 + c]) && std::isnan(y[6 + c]));
  }
  Parameter::Impl p = parameter(token, GradMode::kOverwrite, 9);
  ops::embedding_backward(exec_, ids, 3, dy, Parameter(&p), nullptr, false);
  EXPECT_EQ(get(p.grad), (std::vector<float>{0, 0, 0, g[0], g[1], g[2]}));
}

TEST_P(Embedding, NoTokens) {
  const TensorView ids = make(DType::kI32, {0}), token = random({4, 3}, 1);
  ops::embedding(exec_, ids, 5, token, {}, make(dtype(), {0, 3}));
  Parameter::Impl p = parameter(token, GradMode::kOverwrite, 9);
  ops::embedding_backward(exec_, ids, 5, make(dtype(), {0, 3}), Parameter(&p), nullptr, false);
  EXPECT_EQ(get(p.grad), std::vector<float>(12, 0.0f));
}

TEST_P(Embedding, ASequenceLongerThanTheTableIsAnError) {
  const TensorView ids = put(std::vector<int32_t>{0, 0, 0}, {3}), token = random({2, 3}, 1);
  EXPECT_THROW(ops::embedding(exec_, ids, 3, token, random({2, 3}, 1), make(dtype(), {3, 3})),
               Error);
}

}  // namespace moiety
