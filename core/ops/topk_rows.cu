// The k best columns of every row: k searches, since k and the number of experts are small.
#include <string>

#include <moiety/ops.h>

#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

struct TopK {
  Rows<const float> scores;
  const uint8_t* mask;
  Rows<int32_t> index;
  Rows<float> weight;
  int64_t E, K;

  MOIETY_HD bool taken(const int32_t* chosen, int64_t k, int32_t e) const {
    for (int64_t i = 0; i < k; ++i) {
      if (chosen[i] == e) return true;
    }
    return false;
  }
  MOIETY_HD void operator()(int64_t t) const {
    const float* s = scores[t];
    const bool used = mask == nullptr || mask[t] != 0;
    for (int64_t k = 0; k < K; ++k) {
      int32_t best = -1;
      for (int32_t e = 0; used && e < E; ++e) {
        if (taken(index[t], k, e)) continue;
        const bool number_over_nan = best >= 0 && s[best] != s[best] && s[e] == s[e];
        if (best < 0 || s[e] > s[best] || number_over_nan) best = e;
      }
      index[t][k] = used ? best : kUnused;
      weight[t][k] = used ? s[best] : 0.f;
    }
  }
};

#if defined(__CUDACC__)
/// Orders as the choices do: NaN below all numbers, -0 as 0.
__device__ inline uint32_t order_of(float x) {
  if (x != x) return 1;
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return (bits >> 31 != 0 ? ~bits : bits | 0x80000000u);
}

/// A warp a row, kPer columns a lane: E <= 32 * kPer.
template <int kPer>
__global__ void topk_kernel(TopK f, int64_t T) {
  const int64_t t = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (t >= T) return;
  const float* s = f.scores[t];
  if (f.mask != nullptr && f.mask[t] == 0) {
    for (int64_t k = lane; k < f.K; k += 32) f.index[t][k] = kUnused, f.weight[t][k] = 0;
    return;
  }
  float value[kPer];
  uint32_t order[kPer];  // 0: taken, or no column
#pragma unroll
  for (int j = 0; j < kPer; ++j) {
    const int64_t e = lane + 32 * j;
    value[j] = e < f.E ? s[e] : 0;
    order[j] = e < f.E ? order_of(value[j]) : 0;
  }
  for (int64_t k = 0; k < f.K; ++k) {
    uint32_t mine = 0;
    int at = 0;
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      if (order[j] > mine) mine = order[j], at = j;
    }
    const uint32_t best = __reduce_max_sync(0xffffffffu, mine);
    const unsigned here = mine == best ? static_cast<unsigned>(lane + 32 * at) : ~0u;
    const unsigned e = __reduce_min_sync(0xffffffffu, here);
    if (here != e) continue;
    float won = 0;
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      if (j == at) won = value[j], order[j] = 0;
    }
    f.index[t][k] = static_cast<int32_t>(e);
    f.weight[t][k] = won;
  }
}

/// False where rows are too long for a warp's registers.
bool topk_by_warps(Exec& exec, int64_t T, const TopK& f) {
  const auto grid = static_cast<unsigned>((T + 3) / 4);
  auto* stream = static_cast<cudaStream_t>(exec.stream());
  const int64_t E = f.E;
  if (E > 1024) return false;
  if (T == 0) return true;
  if (E <= 32) {
    topk_kernel<1><<<grid, 128, 0, stream>>>(f, T);
  } else if (E <= 64) {
    topk_kernel<2><<<grid, 128, 0, stream>>>(f, T);
  } else if (E <= 128) {
    topk_kernel<4><<<grid, 128, 0, stream>>>(f, T);
  } else if (E <= 256) {
    topk_kernel<8><<<grid, 128, 0, stream>>>(f, T);
  } else if (E <= 512) {
    topk_kernel<16><<<grid, 128, 0, stream>>>(f, T);
  } else {
    topk_kernel<32><<<grid, 128, 0, stream>>>(f, T);
  }
  return true;
}
#endif

struct TopKBackward {
  Rows<const int32_t> index;
  Rows<const float> dweight;
  Rows<float> dscores;
  int64_t E, K;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    const int32_t* chosen = index[t];
    const float* weight = dweight[t];
    float* out = dscores[t];
    group.each(E, [&](int64_t e) {
      float d = 0;
      for (int64_t k = 0; k < K; ++k) d = chosen[k] == e ? weight[k] : d;
      out[e] = d;
    });
  }
};

}  // namespace

void topk_rows(Exec& exec, ConstTensorView scores, ConstTensorView mask, TensorView index,
               TensorView weight) {
  const int64_t E = scores.dim(1), K = index.dim(1);
  if (K > E) {
    throw Error("topk: " + std::to_string(K) + " choices a token, but only " + std::to_string(E) +
                " experts; lower k or raise num_experts");
  }
  const TopK f{scores.rows<float>(),
               mask ? mask.data<uint8_t>() : nullptr,
               index.rows<int32_t>(),
               weight.rows<float>(),
               E,
               K};
#if defined(__CUDACC__)
  if (exec.is_cuda() && topk_by_warps(exec, scores.dim(0), f)) return;
#endif
  for_each_row(exec, scores.dim(0), f);
}

void topk_rows_backward(Exec& exec, ConstTensorView index, ConstTensorView dweight,
                        TensorView dscores) {
  for_each_wide_row<32>(exec, index.dim(0),
                        TopKBackward{index.rows<int32_t>(), dweight.rows<float>(),
                                     dscores.rows<float>(), dscores.dim(1), index.dim(1)});
}

}  // namespace moiety::ops
