// Router z-loss (Zoph et al., 2022, eq. 5): mean over tokens of logsumexp(logits)^2.
#include <cmath>

#include <moiety/rows.cuh>

#include "core/ops/column_sums.cuh"
#include "core/ops/routing.h"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

struct Router {
  Rows<const float> logits;
  const uint8_t* mask;
  int64_t E;
  MOIETY_HD bool used(int64_t t) const { return mask == nullptr || mask[t] != 0; }
  template <class G>
  MOIETY_HD float log_sum(const G& group, int64_t t) const {
    const float* z = logits[t];
    const float top = group.max(E, [&](int64_t e) { return z[e]; });
    return top + logf(group.sum(E, [&](int64_t e) { return expf(z[e] - top); }));
  }
};

/// square[t] = logsumexp^2, 0 for a masked token.
struct Squares {
  Router router;
  float* square;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    const float z = router.used(t) ? router.log_sum(group, t) : 0.f;
    if (group.leader()) square[t] = z * z;
  }
};

struct Value {
  const float* of_token;
  MOIETY_HD float operator()(int64_t t, int64_t) const { return of_token[t]; }
};

struct Count {
  Router router;
  MOIETY_HD float operator()(int64_t t, int64_t) const { return router.used(t) ? 1.f : 0.f; }
};

struct AddMean {
  const float *sum, *tokens;
  float* loss;
  MOIETY_HD void operator()(int64_t) const { *loss += *tokens > 0 ? *sum / *tokens : 0.f; }
};

struct Gradient {
  Router router;
  const float* tokens;
  const StepState* step;
  float coefficient;
  Rows<float> dlogits;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    if (!router.used(t)) return;
    const float z = router.log_sum(group, t);
    const float scale = coefficient * step->loss_scale * 2.f * z / *tokens;
    const float* in = router.logits[t];
    float* out = dlogits[t];
    group.each(router.E, [&](int64_t e) { out[e] += scale * expf(in[e] - z); });
  }
};

Router router_of(ConstTensorView logits, ConstTensorView mask) {
  return {logits.rows<float>(), mask ? mask.data<uint8_t>() : nullptr, logits.dim(1)};
}

float* count(Exec& exec, const Router& router, int64_t T) {
  float* tokens = exec.scratch(DType::kF32, {1}).data<float>();
  column_sums(exec, T, 1, Count{router}, tokens, false);
  return tokens;
}

}  // namespace

void z_loss(Exec& exec, ConstTensorView logits, ConstTensorView token_mask, TensorView loss) {
  const Router router = router_of(logits, token_mask);
  float* sum = exec.scratch(DType::kF32, {1}).data<float>();
  float* square = exec.scratch(DType::kF32, {logits.dim(0)}).data<float>();
  for_each_wide_row<32>(exec, logits.dim(0), Squares{router, square});
  column_sums(exec, logits.dim(0), 1, Value{square}, sum, false);
  for_each_row(exec, 1, AddMean{sum, count(exec, router, logits.dim(0)), loss.data<float>()});
}

void z_loss_backward(Exec& exec, ConstTensorView logits, ConstTensorView token_mask,
                     double coefficient, TensorView dlogits) {
  const Router router = router_of(logits, token_mask);
  for_each_wide_row<32>(exec, logits.dim(0),
                        Gradient{router, count(exec, router, logits.dim(0)), exec.step(),
                                 static_cast<float>(coefficient), dlogits.rows<float>()});
}

}  // namespace moiety::ops
