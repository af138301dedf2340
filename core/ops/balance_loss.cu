// The load-balancing loss of Switch (Fedus et al., 2021, eq. 4-6): E * sum_e f_e P_e.
#include <moiety/ops.h>
#include <moiety/blocks.cuh>

#include "core/ops/column_sums.cuh"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

struct UsedProbs {
  Rows<const float> probs;
  Rows<const int32_t> index;
  MOIETY_HD float operator()(int64_t t, int64_t e) const {
    return index[t][0] != kUnused ? probs[t][e] : 0.f;
  }
};

struct UsedToken {
  Rows<const int32_t> index;
  MOIETY_HD float operator()(int64_t t, int64_t) const {
    return index[t][0] != kUnused ? 1.f : 0.f;
  }
};

struct Total {
  static constexpr int kSums = 1;
  const float *share, *probs, *used;
  float* loss;
  int64_t E;
  MOIETY_HD void run(int64_t, int64_t lane, int64_t lanes, double* sums) const {
    for (int64_t e = lane; e < E; e += lanes) {
      sums[0] += static_cast<double>(share[e]) * static_cast<double>(probs[e]);
    }
  }
  MOIETY_HD void finish(int64_t, const double* sums) const {
    const double n = *used > 0 ? static_cast<double>(*used) : 1.0;
    *loss = static_cast<float>(static_cast<double>(E) * sums[0] / n);
  }
};

struct Spread {
  Rows<const int32_t> index;
  const float *share, *used, *dloss;
  Rows<float> dprobs;
  int64_t E;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    if (index[t][0] == kUnused) return;
    const float scale = *dloss * static_cast<float>(E) / *used;
    float* out = dprobs[t];
    const float* s = share;
    group.each(E, [&](int64_t e) { out[e] += scale * s[e]; });
  }
};

float* used_tokens(Exec& exec, ConstTensorView index) {
  float* used = exec.scratch(DType::kF32, {1}).data<float>();
  column_sums(exec, index.dim(0), 1, UsedToken{index.rows<int32_t>()}, used, false);
  return used;
}

}  // namespace

void balance_loss(Exec& exec, ConstTensorView probs, ConstTensorView index, TensorView loss) {
  const int64_t T = probs.dim(0), E = probs.dim(1);
  const TensorView share = exec.scratch(DType::kF32, {E}), sums = exec.scratch(DType::kF32, {E});
  expert_fraction(exec, index, share);
  column_sums(exec, T, E, UsedProbs{probs.rows<float>(), index.rows<int32_t>()}, sums.data<float>(),
              false);
  for_each_block(exec, 1,
                 Total{share.data<float>(), sums.data<float>(), used_tokens(exec, index),
                       loss.data<float>(), E});
}

void balance_loss_backward(Exec& exec, ConstTensorView index, ConstTensorView dloss,
                           TensorView dprobs) {
  const int64_t E = dprobs.dim(1);
  const TensorView share = exec.scratch(DType::kF32, {E});
  expert_fraction(exec, index, share);
  for_each_wide_row<32>(exec, dprobs.dim(0),
                        Spread{index.rows<int32_t>(), share.data<float>(), used_tokens(exec, index),
                               dloss.data<float>(), dprobs.rows<float>(), E});
}

}  // namespace moiety::ops
