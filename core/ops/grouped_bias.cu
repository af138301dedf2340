// One bias an expert, added to its slots, and its gradient.
#include <moiety/ops.h>
#include <moiety/rows.cuh>

#include "core/ops/dtype.h"
#include "core/ops/elementwise_cuda.cuh"
#include "core/ops/row_cut.h"
#include "core/ops/segment_column_sums.cuh"
#include "core/ops/segments.cuh"

namespace moiety::ops {

namespace {

template <class T>
struct AddGroupedBias {
  SegmentLookup segments;
  Rows<const float> bias;
  Rows<T> x;
  int64_t L;
  RowCut cut;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t n = cut.row(i), g = segments.find(n), end = cut.end(i);
    if (g < 0) return;
    const float* b = bias[g % L];
    for (int64_t d = cut.begin(i); d < end; ++d) {
      x[n][d] = static_cast<T>(static_cast<float>(x[n][d]) + b[d]);
    }
  }
};

/// On the CPU, one worker an expert: slots in order, segments in order.
template <class T>
struct GroupedBiasGrad {
  SegmentLookup segments;
  Rows<const T> dout;
  Rows<float> grad;
  int64_t L;
  int64_t H;
  bool accumulate;
  MOIETY_HD void operator()(int64_t l) const {
    float* out = grad[l];
    if (!accumulate) {
      for (int64_t d = 0; d < H; ++d) out[d] = 0;
    }
    for (int64_t g = l; g < segments.G; g += L) {
      const int64_t first = segments.start[g], last = first + segments.count[g];
      for (int64_t n = first; n < last; ++n) {
        for (int64_t d = 0; d < H; ++d) out[d] += static_cast<float>(dout[n][d]);
      }
    }
  }
};

}  // namespace

void grouped_bias(Exec& exec, const Segments& segments, ConstTensorView bias, TensorView x) {
  const RowCut cut(exec, x.dim(1));
  with_float(x.dtype, "grouped_bias", [&](auto element) {
    using T = decltype(element);
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      const int64_t H = x.dim(1);
      const Rows<const float> b = bias.rows<float>();
      return with_pack<T>(packed(x.rows<T>(), H) && packed(b, H), [&](auto width) {
        for_each_pack(exec, RowsInSegments{lookup(segments)}, x.dim(0), H,
                      AddBiasPack<T, width>{b, bias.dim(0), x.rows<T>()});
      });
    }
#endif
    for_each_row(
        exec, x.dim(0) * cut.parts,
        AddGroupedBias<T>{lookup(segments), bias.rows<float>(), x.rows<T>(), bias.dim(0), cut});
  });
}

void grouped_bias_grad(Exec& exec, const Segments& segments, ConstTensorView dout,
                       const Parameter& bias) {
  if (bias.grad_mode() == GradMode::kNone) return;
  const TensorView grad = bias.grad();
  const int64_t L = grad.dim(0), H = dout.dim(1);
  if (grad.numel() == 0) return;
  const bool accumulate = bias.grad_mode() == GradMode::kAccumulate;
  with_float(dout.dtype, "grouped_bias_grad", [&](auto element) {
    using T = decltype(element);
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      const Rows<const T> rows = dout.rows<T>();
      return segment_column_sums<kPackOf<T>>(
          exec, lookup(segments), dout.dim(0), packed(rows, H),
          [&](auto width) { return ElementSums<T, width>{rows}; }, grad.rows<float>(), L, H,
          accumulate);
    }
#endif
    for_each_row(
        exec, L,
        GroupedBiasGrad<T>{lookup(segments), dout.rows<T>(), grad.rows<float>(), L, H, accumulate});
  });
}

}  // namespace moiety::ops
