// What a plan asks of each expert, and means over tokens.
#include <moiety/ops.h>
#include <moiety/rows.cuh>

#include "core/ops/column_sums.cuh"
#include "core/ops/expert_histogram.cuh"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

struct Chose {  // how often token t chose e, before dropping
  Rows<const int32_t> index;
  int64_t K;
  MOIETY_HD float operator()(int64_t t, int64_t e) const {
    int32_t n = 0;
    for (int64_t k = 0; k < K; ++k) n += choice(index[t][k]) == e ? 1 : 0;
    return static_cast<float>(n);
  }
};

struct Normalise {
  float* share;
  int64_t E;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t) const {
    float* x = share;
    const float sum = group.sum(E, [&](int64_t e) { return x[e]; });
    group.each(E, [&](int64_t e) { x[e] = sum > 0 ? x[e] / sum : 0.f; });
  }
};

struct Masked {
  Rows<const float> x;
  const uint8_t* mask;
  MOIETY_HD float operator()(int64_t t, int64_t e) const {
    return mask == nullptr || mask[t] != 0 ? x[t][e] : 0.f;
  }
};

struct Used {
  const uint8_t* mask;
  MOIETY_HD float operator()(int64_t t, int64_t) const {
    return mask == nullptr || mask[t] != 0 ? 1.f : 0.f;
  }
};

struct Divide {
  float* x;
  const float* counted;  // null: `rows`
  float rows;
  MOIETY_HD void operator()(int64_t e) const {
    const float by = counted != nullptr ? *counted : rows;
    x[e] = by > 0 ? x[e] / by : 0.f;
  }
};

}  // namespace

void expert_counts(Exec& exec, ConstTensorView index, TensorView counts) {
#if defined(__CUDACC__)
  if (exec.is_cuda() && counts.numel() <= kMostHistogramExperts) {
    return expert_histogram(exec, index.rows<int32_t>(), index.dim(0), index.dim(1), counts.numel(),
                            counts.data<float>());
  }
#endif
  column_sums(exec, index.dim(0), counts.numel(), Chose{index.rows<int32_t>(), index.dim(1)},
              counts.data<float>(), false);
}

void expert_fraction(Exec& exec, ConstTensorView index, TensorView fraction) {
  expert_counts(exec, index, fraction);
  for_each_wide_row<32>(exec, 1, Normalise{fraction.data<float>(), fraction.numel()});
}

void column_mean(Exec& exec, ConstTensorView x, ConstTensorView mask, TensorView out) {
  const int64_t T = x.dim(0), E = x.dim(1);
  const uint8_t* m = mask ? mask.data<uint8_t>() : nullptr;
  column_sums(exec, T, E, Masked{x.rows<float>(), m}, out.data<float>(), false);
  float* used = nullptr;
  if (m != nullptr) {
    used = exec.scratch(DType::kF32, {1}).data<float>();
    column_sums(exec, T, 1, Used{m}, used, false);
  }
  for_each_row(exec, E, Divide{out.data<float>(), used, static_cast<float>(T)});
}

}  // namespace moiety::ops
