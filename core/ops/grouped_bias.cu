// One bias an expert, added to its slots, and its gradient.
#include <moiety/ops.h>
#include <moiety/rows.cuh>

#include "core/ops/dtype.h"
#include "core/ops/elementwise_cuda.cuh"
#include "core/ops/row_cut.h"
#include "core/ops/row_pieces.cuh"
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

#if defined(__CUDACC__)
template <class T>
void bias_grad_by_pieces(Exec& exec, const SegmentLookup& segments, Rows<const T> dout,
                         int64_t slots, int64_t H, int64_t L, Rows<float> grad, bool accumulate) {
  auto* stream = static_cast<cudaStream_t>(exec.stream());
  const int64_t most = most_pieces(slots, segments.G);
  int32_t* first = exec.scratch(DType::kI32, {segments.G + 1}).data<int32_t>();
  float* partial = exec.scratch(DType::kF32, {most, H}).data<float>();
  first_pieces(stream, segments, first);
  const SegmentPieces pieces{segments, first};
  if (packed(dout, H)) {
    constexpr int kWidth = kPackOf<T>;
    piece_sums<kWidth, 1>(stream, pieces, most, H, ElementSums<T, kWidth>{dout}, partial);
  } else {
    piece_sums<1, 1>(stream, pieces, most, H, ElementSums<T, 1>{dout}, partial);
  }
  add_segment_pieces(stream, partial, first, segments.G, L, H, grad, accumulate);
}
#endif

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
      bias_grad_by_pieces(exec, lookup(segments), dout.rows<T>(), dout.dim(0), H, L,
                          grad.rows<float>(), accumulate);
      return;
    }
#endif
    for_each_row(
        exec, L,
        GroupedBiasGrad<T>{lookup(segments), dout.rows<T>(), grad.rows<float>(), L, H, accumulate});
  });
}

}  // namespace moiety::ops
