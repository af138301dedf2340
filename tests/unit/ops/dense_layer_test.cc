// The ops of expert functions where all slots are the rows of one segment, which the host knows: a
// dense layer, whose products finish with bias and activation where the card's library can.
#include <moiety/expert_ops.h>

#include "core/ops/activation_functions.h"
#include "tests/unit/ops/op_test.h"

namespace moiety {
namespace {

struct Sizes {
  int64_t T, D, H;
};
const Sizes kSizes[] = {{256, 64, 128}, {200, 72, 136}, {37, 21, 51}, {1, 8, 8}};

class DenseLayerTest : public OpTest {
 protected:
  ExpertBatch batch(int64_t T) {
    rows_ = static_cast<int32_t>(T);
    ExpertBatch b;
    b.start = put(std::vector<int32_t>{0}, {1});
    b.count = put(std::vector<int32_t>{rows_}, {1});
    b.host_count = &rows_;
    return b;
  }
  int32_t rows_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Devices, DenseLayerTest, kFloatDevices, case_name);

TEST_P(DenseLayerTest, UpAndDownAreProductsWithBiases) {
  for (const Sizes& s : kSizes) {
    for (const bool with_bias : {true, false}) {
      const ExpertBatch b = batch(s.T);
      const TensorView x = random({s.T, s.D}, 1), w_in = random({1, s.D, s.H}, 2, 0.2f);
      const TensorView w_out = random({1, s.H, s.D}, 3, 0.2f);
      const TensorView b_in = random_f32({1, s.H}, 4), b_out = random_f32({1, s.D}, 5);
      const ConstTensorView in_bias = with_bias ? ConstTensorView(b_in) : ConstTensorView();
      const ConstTensorView out_bias = with_bias ? ConstTensorView(b_out) : ConstTensorView();
      const TensorView h = make(dtype(), {s.T, s.H}), a = make(dtype(), {s.T, s.H});
      const TensorView y = make(dtype(), {s.T, s.D});
      ops::expert_up(exec_, b, ops::Activation::kGeluTanh, x, w_in, in_bias, h, a);
      ops::expert_down(exec_, b, a, w_out, out_bias, y);
      const Vector fx = wide(x), fi = wide(w_in), fo = wide(w_out), fbi = wide(b_in),
                   fbo = wide(b_out);
      Vector want_h(count(s.T * s.H)), want_a(want_h.size()), want_y(count(s.T * s.D));
      for (int64_t t = 0; t < s.T; ++t) {
        for (int64_t j = 0; j < s.H; ++j) {
          double sum = with_bias ? fbi[count(j)] : 0;
          for (int64_t k = 0; k < s.D; ++k) {
            sum += fx[count(t * s.D + k)] * fi[count(k * s.H + j)];
          }
          want_h[count(t * s.H + j)] = sum;
          want_a[count(t * s.H + j)] =
              static_cast<double>(ops::GeluTanh::at(static_cast<float>(sum)).value);
        }
        for (int64_t d = 0; d < s.D; ++d) {
          double sum = with_bias ? fbo[count(d)] : 0;
          for (int64_t j = 0; j < s.H; ++j) {
            sum += want_a[count(t * s.H + j)] * fo[count(j * s.D + d)];
          }
          want_y[count(t * s.D + d)] = sum;
        }
      }
      SCOPED_TRACE(std::to_string(s.T) + (with_bias ? " rows with biases" : " rows"));
      near(h, want_h);
      near(a, want_a);
      near(y, want_y);
    }
  }
}

TEST_P(DenseLayerTest, BackwardYieldsTheGradientAndTheActivation) {
  for (const Sizes& s : kSizes) {
    const ExpertBatch b = batch(s.T);
    const TensorView dout = random({s.T, s.D}, 1), w = random({1, s.H, s.D}, 2, 0.2f);
    const TensorView h = random({s.T, s.H}, 3), dh = make(dtype(), {s.T, s.H});
    const TensorView a = make(dtype(), {s.T, s.H});
    ops::expert_down_backward(exec_, b, ops::Activation::kGeluTanh, dout, w, h, dh, a, {});
    const Vector fd = wide(dout), fw = wide(w), fh = wide(h);
    Vector want_dh(count(s.T * s.H)), want_a(want_dh.size());
    for (int64_t i = 0; i < s.T * s.H; ++i) {
      double da = 0;
      for (int64_t k = 0; k < s.D; ++k) {
        da += fd[count(i / s.H * s.D + k)] * fw[count(i % s.H * s.D + k)];
      }
      const auto f = ops::GeluTanh::at(static_cast<float>(fh[count(i)]));
      want_a[count(i)] = static_cast<double>(f.value);
      want_dh[count(i)] = da * static_cast<double>(f.slope);
    }
    SCOPED_TRACE(std::to_string(s.T) + " rows");
    near(dh, want_dh);
    near(a, want_a);
  }
}

}  // namespace
}  // namespace moiety
