// Grouped products in 8-bit floats, and the ops that take them, against float64 products of what
// the quantised operands hold; on both devices.
#include "core/ops/grouped_fp8.h"

#include <moiety/expert_ops.h>

#include "core/ops/activation_functions.h"
#include "tests/unit/ops/op_test.h"

namespace moiety {
namespace {

using ops::Transpose;

/// R tokens, their slots in segments with padding between, K and J columns.
struct Layout {
  int64_t tokens, slots, experts, K, J;
  std::vector<int32_t> start, count;
};
const Layout kLayouts[] = {
    {20, 40, 3, 16, 24, {2, 20, 20}, {17, 0, 19}},
    {70, 300, 2, 144, 136, {0, 60, 130, 220}, {50, 70, 80, 78}},  // two segments an expert
    {90, 300, 5, 200, 328, {0, 0, 290, 0, 0}, {290, 0, 9, 0, 0}},
    {6, 9, 2, 5, 7, {0, 4}, {3, 5}},
    {4, 5, 4, 8, 8, {0, 0, 0, 0}, {0, 0, 0, 0}},
};

class GroupedFp8Test : public OpTest {
 protected:
  void use(const Layout& l) {
    const auto G = static_cast<int64_t>(l.start.size());
    batch_ = {};
    batch_.start = put(l.start, {G});
    batch_.count = put(l.count, {G});
    rows_of_.assign(count(l.slots), -1);
    each_slot(l, [&](int64_t n, int64_t) {
      rows_of_[count(n)] = static_cast<int32_t>((n * 7 + 3) % l.tokens);
    });
    batch_.row = put(rows_of_, {l.slots});
  }
  template <class F>
  static void each_slot(const Layout& l, const F& fn) {
    for (size_t g = 0; g < l.start.size(); ++g) {
      for (int64_t n = l.start[g]; n < l.start[g] + l.count[g]; ++n) {
        fn(n, static_cast<int64_t>(g) % l.experts);
      }
    }
  }
  Vector held(const ops::Fp8Matrix& m) {
    const TensorView out = m.values.rank == 2
                               ? make(DType::kF32, {m.rows(), m.depth()})
                               : make(DType::kF32, {m.values.dim(0), m.rows(), m.depth()});
    ops::dequantize(exec_, m, out);
    return wide(out);
  }
  /// What out was, with a[row] w^T in every slot of a segment; a and w quantised here.
  Vector expected(const Layout& l, const TensorView& a, const TensorView& w, Transpose transpose,
                  bool by_row, const Vector& before) {
    const bool turned = transpose == Transpose::kYes;
    const Vector fa = held(ops::quantize_rows(exec_, a, turned ? DType::kF8E5M2 : DType::kF8E4M3,
                                              ops::Fp8ScaleOrder::kByRow));
    const Vector fw =
        held(ops::quantize_blocks(exec_, w, turned ? Transpose::kNo : Transpose::kYes));
    Vector out = before;
    each_slot(l, [&](int64_t n, int64_t e) {
      const int64_t row = by_row ? rows_of_[count(n)] : n;
      for (int64_t j = 0; j < l.J; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < l.K; ++k) {
          sum += fa[count(row * l.K + k)] * fw[count((e * l.J + j) * l.K + k)];
        }
        out[count(n * l.J + j)] = sum;
      }
    });
    return out;
  }
  TensorView filled(int64_t rows, int64_t columns) {
    const TensorView t = make(dtype(), {rows, columns});
    ops::fill(exec_, t, -7);
    return t;
  }
  TensorView weights(const Layout& l, Transpose transpose) {
    return transpose == Transpose::kYes ? random({l.experts, l.J, l.K}, 2, 0.2f)
                                        : random({l.experts, l.K, l.J}, 2, 0.2f);
  }

  ExpertBatch batch_;
  std::vector<int32_t> rows_of_;
};
INSTANTIATE_TEST_SUITE_P(Devices, GroupedFp8Test, kFloatDevices, case_name);

TEST_P(GroupedFp8Test, EachSegmentMeetsItsExpertAndPaddingIsLeftAlone) {
  for (const Layout& l : kLayouts) {
    use(l);
    for (const auto transpose : {Transpose::kNo, Transpose::kYes}) {
      for (const bool by_row : {false, true}) {
        const TensorView a = random({by_row ? l.tokens : l.slots, l.K}, 1);
        const TensorView w = weights(l, transpose), out = filled(l.slots, l.J);
        const Vector want = expected(l, a, w, transpose, by_row, wide(out));
        ops::grouped_fp8(exec_, batch_, by_row ? batch_.row : ConstTensorView(), a, w, out,
                         transpose);
        near(out, want);
      }
    }
  }
}

TEST_P(GroupedFp8Test, TheSdksProductIsInFp8WhileThePartIs) {
  const Layout& l = kLayouts[1];
  use(l);
  for (const auto transpose : {Transpose::kNo, Transpose::kYes}) {
    const TensorView a = random({l.slots, l.K}, 1), w = weights(l, transpose);
    const TensorView plain = filled(l.slots, l.J), out = filled(l.slots, l.J);
    const Vector want = expected(l, a, w, transpose, false, wide(out));
    ops::grouped_gemm(exec_, batch_, a, w, plain, transpose);
    impl_.fp8 = true;
    ops::grouped_gemm(exec_, batch_, a, w, out, transpose);
    impl_.fp8 = false;
    near(out, want);
    EXPECT_NE(get(out), get(plain));
  }
}

TEST_P(GroupedFp8Test, ExpertFunctionsBeginWithSuchProducts) {
  for (const Layout& l : kLayouts) {
    use(l);
    impl_.fp8 = true;
    const TensorView x = random({l.tokens, l.K}, 1), w = weights(l, Transpose::kNo);
    const TensorView bias = random_f32({l.experts, l.J}, 3);
    const TensorView h = filled(l.slots, l.J), a = filled(l.slots, l.J);
    Vector want = expected(l, x, w, Transpose::kNo, true, wide(h)), want_a = want;
    const Vector fb = wide(bias);
    each_slot(l, [&](int64_t n, int64_t e) {
      for (int64_t j = 0; j < l.J; ++j) {
        const size_t at = count(n * l.J + j);
        want[at] += fb[count(e * l.J + j)];
        want_a[at] = static_cast<double>(ops::Silu::at(static_cast<float>(want[at])).value);
      }
    });
    ops::expert_up(exec_, batch_, ops::Activation::kSilu, x, w, bias, h, a);
    near(h, want);
    near(a, want_a);

    const TensorView w_out = weights(l, Transpose::kYes), dout = random({l.tokens, l.K}, 4);
    const TensorView dh = filled(l.slots, l.J), act = filled(l.slots, l.J);
    Vector want_dh = expected(l, dout, w_out, Transpose::kYes, true, wide(dh));
    const Vector fh = wide(h);
    each_slot(l, [&](int64_t n, int64_t) {
      for (int64_t j = 0; j < l.J; ++j) {
        const size_t at = count(n * l.J + j);
        want_dh[at] *= static_cast<double>(ops::Silu::at(static_cast<float>(fh[at])).slope);
      }
    });
    ops::expert_down_backward(exec_, batch_, ops::Activation::kSilu, dout, w_out, h, dh, act, {});
    impl_.fp8 = false;
    near(dh, want_dh);
  }
}

}  // namespace
}  // namespace moiety
