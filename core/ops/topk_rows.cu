// The k best columns of every row: k scans, since k and the number of experts are small.
#include <string>

#include <moiety/ops.h>
#include <moiety/rows.cuh>

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

struct TopKBackward {
  Rows<const int32_t> index;
  Rows<const float> dweight;
  Rows<float> dscores;
  int64_t E, K;
  MOIETY_HD void operator()(int64_t t) const {
    for (int64_t e = 0; e < E; ++e) dscores[t][e] = 0;
    for (int64_t k = 0; k < K; ++k) {
      if (index[t][k] >= 0) dscores[t][index[t][k]] = dweight[t][k];
    }
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
  for_each_row(exec, scores.dim(0),
               TopK{scores.rows<float>(), mask ? mask.data<uint8_t>() : nullptr,
                    index.rows<int32_t>(), weight.rows<float>(), E, K});
}

void topk_rows_backward(Exec& exec, ConstTensorView index, ConstTensorView dweight,
                        TensorView dscores) {
  for_each_row(exec, index.dim(0),
               TopKBackward{index.rows<int32_t>(), dweight.rows<float>(), dscores.rows<float>(),
                            dscores.dim(1), index.dim(1)});
}

}  // namespace moiety::ops
