// A case of attention: the op's tensors beside the reference's sizes, and how the two are compared.
#pragma once

#include "core/device/build.h"
#include "core/ops/attention.h"
#include "core/ops/attention_backend.h"
#include "core/ops/attention_cudnn.h"
#include "tests/unit/ops/op_test.h"

namespace moiety {

class AttentionFixture : public OpTest {
 protected:
  struct Case {
    ops::AttentionShape shape;
    reference::AttentionCase plain;
    TensorView qkv, out, log_sum, dout, dqkv;
    ops::Documents documents;
  };
  Case make_case(int64_t batch, int64_t sequence, int64_t heads, int64_t kv_heads, int64_t head_dim,
                 double dropout = 0, int64_t value_dim = 0) {
    Case c;
    const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
    c.shape = {batch, sequence, heads, kv_heads, head_dim, scale, dropout, value_dim};
    c.plain = {count(batch),    count(sequence), count(heads),    count(kv_heads),
               count(head_dim), scale,           count(value_dim)};
    const int64_t T = batch * sequence, width = c.shape.qkv_width();
    c.qkv = random({T, width}, 1);
    c.out = make(dtype(), {T, c.shape.out_width()});
    c.log_sum = make(DType::kF32, {batch, heads, sequence});
    c.dout = random({T, c.shape.out_width()}, 2);
    c.dqkv = make(dtype(), {T, width});
    return c;
  }
  void run(Exec& exec, const Case& c) {
    ops::attention(exec, c.shape, c.qkv, c.out, c.log_sum, c.documents);
    ops::attention_backward(exec, c.shape, c.qkv, c.out, c.log_sum, c.dout, c.dqkv, c.documents);
  }
  bool on_cuda() const { return GetParam().device == DeviceType::kCuda; }
  bool cudnn_takes(const ops::AttentionShape& s) const {
    if constexpr (kCuda) {
      return ops::cuda::built_with_cudnn() && on_cuda() && dtype() != DType::kF32 &&
             s.sequence > 2 && s.head_dim <= 128 && s.values() == s.head_dim;
    }
    return false;
  }
  void check(const Case& c) {
    check_path(c);
    if (!on_cuda()) return;
    Case own = c;
    own.shape.own_kernels = true;
    check_path(own);
  }
  /// Forward element by element; backward along three random directions, and whole if small.
  void check_path(const Case& c) {
    run(exec_, c);
    std::function<double(size_t, size_t, size_t)> keep;
    if (c.shape.dropout > 0) {
      keep = [&](size_t token, size_t head, size_t key) { return kept(c, token, head, key); };
    }
    const auto f = [&](const Vector& x) { return reference::attention(c.plain, x, keep); };
    const Vector x = wide(c.qkv), dy = wide(c.dout), got = wide(c.dqkv);
    near(c.out, f(x));
    for (uint32_t seed = 11; seed < 14; ++seed) {
      const Vector direction = reference::widen(normal(x.size(), seed));
      const double expected = reference::slope(f, x, direction, dy);
      EXPECT_NEAR(reference::dot(got, direction), expected,
                  tolerance() * 2 * std::sqrt(static_cast<double>(x.size())));
    }
    if (x.size() <= 1500) near(c.dqkv, reference::gradient(f, x, dy), 2);
  }
  /// The noise as the ops' documentation words it, drawn through the public generator.
  double kept(const Case& c, size_t token, size_t head, size_t key) {
    if (noise_.empty()) {
      const int64_t T = c.qkv.dim(0);
      const int64_t W = 4 * ((c.shape.sequence + 3) / 4) * c.shape.heads;
      const TensorView out = make(DType::kF32, {T, W});
      exec_.uniform("attention_dropout", out);
      noise_ = get(out), noise_width_ = count(W);
    }
    const size_t column = head * (noise_width_ / c.plain.heads) + key;
    const bool dropped = static_cast<double>(noise_[token * noise_width_ + column]) <
                         static_cast<double>(static_cast<float>(c.shape.dropout));
    return dropped ? 0 : 1 / (1 - c.shape.dropout);
  }
  std::vector<float> noise_;
  size_t noise_width_ = 0;
};

}  // namespace moiety
