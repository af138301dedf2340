// Rows of slots: gathered from tokens, scaled by their weights, multiplied with each other.
#include <moiety/ops.h>
#include <moiety/rows.cuh>

#include "core/device/row_sum.cuh"
#include "core/ops/dtype.h"
#include "core/ops/row_cut.h"
#include "core/ops/segments.cuh"
#include "core/ops/slot_rows_cuda.cuh"

namespace moiety::ops {

namespace {

/// Slot -> row of x, or -1 in padding.
struct Source {
  SegmentLookup segments;
  const int32_t* row;  // null: slot n is row n
  MOIETY_HD int64_t operator()(int64_t n) const {
    if (row != nullptr && row[n] < 0) return -1;
    if (segments.find(n) < 0) return -1;
    return row != nullptr ? row[n] : n;
  }
};

template <class T>
struct GatherRows {
  Source source;
  Rows<const T> x;
  Rows<T> out;
  RowCut cut;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t n = cut.row(i), from = source(n);
    if (from < 0) return;
    for (int64_t d = cut.begin(i); d < cut.end(i); ++d) out[n][d] = x[from][d];
  }
};

template <class T>
struct ScaleRows {
  SegmentLookup segments;
  const float* weight;
  Rows<T> x;
  RowCut cut;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t n = cut.row(i);
    if (segments.find(n) < 0) return;
    for (int64_t d = cut.begin(i); d < cut.end(i); ++d) {
      x[n][d] = static_cast<T>(static_cast<float>(x[n][d]) * weight[n]);
    }
  }
};

template <class T>
struct DotTerm {
  SegmentLookup segments;
  Rows<const T> a, b;
  MOIETY_HD bool used(int64_t n) const { return segments.find(n) >= 0; }
  MOIETY_HD float operator()(int64_t n, int64_t d) const {
    return static_cast<float>(a[n][d]) * static_cast<float>(b[n][d]);
  }
};

struct StoreSum {
  float* out;
  MOIETY_HD void operator()(int64_t n, float sum) const { out[n] = sum; }
};

}  // namespace

void gather_rows(Exec& exec, const ExpertBatch& batch, ConstTensorView x, TensorView out) {
  const RowCut cut(exec, x.dim(1));
  const Source source{lookup(batch), batch.row ? batch.row.data<int32_t>() : nullptr};
  with_float(x.dtype, "gather_rows", [&](auto element) {
    using T = decltype(element);
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      const int64_t D = x.dim(1);
      return with_pack<T>(packed(x.rows<T>(), D) && packed(out.rows<T>(), D), [&](auto width) {
        for_each_pack(exec, RowsInSegments{source.segments}, out.dim(0), D,
                      GatherPack<T, width>{source.row, x.rows<T>(), out.rows<T>()});
      });
    }
#endif
    for_each_row(exec, out.dim(0) * cut.parts,
                 GatherRows<T>{source, x.rows<T>(), out.rows<T>(), cut});
  });
}

void scale_rows(Exec& exec, const ExpertBatch& batch, TensorView x) {
  if (!batch.weight) return;
  const RowCut cut(exec, x.dim(1));
  with_float(x.dtype, "scale_rows", [&](auto element) {
    using T = decltype(element);
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      const int64_t D = x.dim(1);
      return with_pack<T>(packed(x.rows<T>(), D), [&](auto width) {
        for_each_pack(exec, RowsInSegments{lookup(batch)}, x.dim(0), D,
                      ScalePack<T, width>{batch.weight.data<float>(), x.rows<T>()});
      });
    }
#endif
    for_each_row(exec, x.dim(0) * cut.parts,
                 ScaleRows<T>{lookup(batch), batch.weight.data<float>(), x.rows<T>(), cut});
  });
}

void row_dot(Exec& exec, const Segments& segments, ConstTensorView a, ConstTensorView b,
             TensorView out) {
  with_float(a.dtype, "row_dot", [&](auto element) {
    using T = decltype(element);
#if defined(__CUDACC__)
    const int64_t N = a.dim(0), D = a.dim(1);
    if (exec.is_cuda() && N > 0) {
      return with_pack<T>(packed(a.rows<T>(), D) && packed(b.rows<T>(), D), [&](auto width) {
        row_dot_kernel<width><<<static_cast<unsigned>((N + 7) / 8), 256, 0,
                                static_cast<cudaStream_t>(exec.stream())>>>(
            RowsInSegments{lookup(segments)}, a.rows<T>(), b.rows<T>(), N, D, out.data<float>());
      });
    }
#endif
    for_each_row_sum(exec, a.dim(0), a.dim(1),
                     DotTerm<T>{lookup(segments), a.rows<T>(), b.rows<T>()},
                     StoreSum{out.data<float>()});
  });
}

}  // namespace moiety::ops
