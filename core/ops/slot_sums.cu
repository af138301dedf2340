// Sums over a slot's parts, and what an expert's output bias adds to the combine weights' gradient
// and receives itself, with tokens read where they lie.
#include "core/ops/slot_sums.h"

#include <algorithm>

#include <moiety/expert_ops.h>

#include "core/ops/dtype.h"
#include "core/ops/row_cut.h"
#include "core/ops/segment_column_sums.cuh"
#include "core/ops/segments.cuh"
#include "core/ops/shape_checks.h"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

constexpr int64_t kColumns = 64;  // of a bias's gradient, summed by one worker on the CPU

struct AddParts {
  SegmentLookup segments;
  const int32_t* row;  // null: the segments alone tell padding
  Rows<const float> parts;
  float* sum;
  int64_t count;
  MOIETY_HD void operator()(int64_t n) const {
    if (row != nullptr ? row[n] < 0 : segments.find(n) < 0) return;
    float total = 0;
    for (int64_t i = 0; i < count; ++i) total += parts[n][i];
    sum[n] = total;
  }
};

/// What slot n adds to the gradient of its expert's bias.
template <class T>
struct WeightedRow {
  Rows<const T> dout;
  const int32_t* row;
  const float* weight;
  MOIETY_HD float operator()(int64_t n, int64_t d) const {
    const auto x = static_cast<float>(dout[row != nullptr ? row[n] : n][d]);
    return weight != nullptr ? weight[n] * x : x;
  }
};

/// On the CPU, one worker an expert and a block of columns: segments in order, slots in order.
template <class T>
struct SumWeightedRows {
  WeightedRow<T> value;
  SegmentLookup segments;
  Rows<float> out;
  int64_t L;
  RowCut cut;
  bool accumulate;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t l = cut.row(i), begin = cut.begin(i), end = cut.end(i);
    float* sum = out[l];
    for (int64_t d = begin; d < end && !accumulate; ++d) sum[d] = 0;
    for (int64_t g = l; g < segments.G; g += L) {
      for (int64_t n = segments.start[g]; n < segments.start[g] + segments.count[g]; ++n) {
        for (int64_t d = begin; d < end; ++d) sum[d] += value(n, d);
      }
    }
  }
};

#if defined(__CUDACC__)
/// The same for kWidth neighbouring columns.
template <class T, int kWidth>
struct WeightedRowSums {
  WeightedRow<T> of;
  __device__ void operator()(int64_t n, int64_t column, float (&sums)[1][kWidth]) const {
    float values[kWidth];
    load_pack<kWidth>(of.dout[of.row != nullptr ? of.row[n] : n] + column, values);
    const float w = of.weight != nullptr ? of.weight[n] : 1;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sums[0][i] += w * values[i];
  }
};
#endif

template <class T>
struct BiasDot {
  SegmentLookup segments;
  Rows<const float> bias;
  Rows<const T> dout;
  const int32_t* row;
  float* dweight;
  int64_t L, D;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t n) const {
    const int64_t g = segments.find(n);
    if (g < 0) return;
    const float* b = bias[g % L];
    const T* from = dout[row != nullptr ? row[n] : n];
    const float sum = group.sum(D, [&](int64_t d) { return b[d] * static_cast<float>(from[d]); });
    if (group.leader()) dweight[n] += sum;
  }
};

const int32_t* row_of(const ExpertBatch& batch) {
  return batch.row ? batch.row.data<int32_t>() : nullptr;
}

}  // namespace

void add_parts(Exec& exec, const ExpertBatch& batch, ConstTensorView parts, TensorView sum) {
  for_each_row(
      exec, parts.dim(0),
      AddParts{lookup(batch), row_of(batch), parts.rows<float>(), sum.data<float>(), parts.dim(1)});
}

void grouped_bias_grad_by_row(Exec& exec, const ExpertBatch& batch, ConstTensorView dout,
                              const Parameter& bias) {
  if (bias.grad_mode() == GradMode::kNone) return;
  const TensorView grad = bias.grad();
  const int64_t L = grad.dim(0), D = grad.dim(1);
  if (grad.numel() == 0) return;
  check_shape("grouped_bias_grad_by_row", "the bias", grad, {grad.dim(0), dout.dim(1)});
  with_float(dout.dtype, "grouped_bias_grad_by_row", [&](auto element) {
    using T = decltype(element);
    const WeightedRow<T> value{dout.rows<T>(), row_of(batch),
                               batch.weight ? batch.weight.data<float>() : nullptr};
    const bool accumulate = bias.grad_mode() == GradMode::kAccumulate;
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      return segment_column_sums<kPackOf<T>>(
          exec, lookup(batch), batch.row ? batch.row.dim(0) : dout.dim(0), packed(value.dout, D),
          [&](auto width) { return WeightedRowSums<T, width>{value}; }, grad.rows<float>(), L, D,
          accumulate);
    }
#endif
    RowCut cut(exec, D);
    cut.size = std::min<int64_t>(D, kColumns), cut.parts = (D + cut.size - 1) / cut.size;
    for_each_row(exec, L * cut.parts,
                 SumWeightedRows<T>{value, lookup(batch), grad.rows<float>(), L, cut, accumulate});
  });
}

void grouped_bias_dot(Exec& exec, const ExpertBatch& batch, ConstTensorView bias,
                      ConstTensorView dout, TensorView dweight) {
  check_shape("grouped_bias_dot", "bias", bias, {bias.dim(0), dout.dim(1)});
  with_float(dout.dtype, "grouped_bias_dot", [&](auto element) {
    using T = decltype(element);
    for_each_wide_row<32>(
        exec, dweight.dim(0),
        BiasDot<T>{lookup(batch), bias.rows<float>(), dout.rows<T>(), row_of(batch),
                   dweight.data<float>(), bias.dim(0), bias.dim(1)});
  });
}

}  // namespace moiety::ops
