// Router z-loss (Zoph et al., 2022, eq. 5): mean over tokens of logsumexp(logits)^2.
#include <cmath>

#include <moiety/rows.cuh>

#include "core/ops/column_sums.cuh"
#include "core/ops/routing.h"

namespace moiety::ops {

namespace {

struct Router {
  Rows<const float> logits;
  const uint8_t* mask;
  int64_t E;
  MOIETY_HD bool used(int64_t t) const { return mask == nullptr || mask[t] != 0; }
  MOIETY_HD float log_sum(int64_t t) const {
    float top = -INFINITY, sum = 0;
    for (int64_t e = 0; e < E; ++e) top = fmaxf(top, logits[t][e]);
    for (int64_t e = 0; e < E; ++e) sum += expf(logits[t][e] - top);
    return top + logf(sum);
  }
};

struct Square {
  Router router;
  MOIETY_HD float operator()(int64_t t, int64_t) const {
    if (!router.used(t)) return 0;
    const float z = router.log_sum(t);
    return z * z;
  }
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
  MOIETY_HD void operator()(int64_t t) const {
    if (!router.used(t)) return;
    const float z = router.log_sum(t);
    const float scale = coefficient * step->loss_scale * 2.f * z / *tokens;
    for (int64_t e = 0; e < router.E; ++e) {
      dlogits[t][e] += scale * expf(router.logits[t][e] - z);
    }
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
  column_sums(exec, logits.dim(0), 1, Square{router}, sum, false);
  for_each_row(exec, 1, AddMean{sum, count(exec, router, logits.dim(0)), loss.data<float>()});
}

void z_loss_backward(Exec& exec, ConstTensorView logits, ConstTensorView token_mask,
                     double coefficient, TensorView dlogits) {
  const Router router = router_of(logits, token_mask);
  for_each_row(exec, logits.dim(0),
               Gradient{router, count(exec, router, logits.dim(0)), exec.step(),
                        static_cast<float>(coefficient), dlogits.rows<float>()});
}

}  // namespace moiety::ops
