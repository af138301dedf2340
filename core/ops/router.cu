// One functor call an element: routers are small, and these are for checks and benchmarks.
#include "core/ops/router.h"

#include <cmath>

#include <moiety/gumbel.cuh>
#include <moiety/rows.cuh>

namespace moiety::ops {

namespace {

struct Product {
  Rows<const float> x, w;
  Rows<float> logits;
  int64_t D, E;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t t = i / E, e = i % E;
    double sum = 0;
    for (int64_t d = 0; d < D; ++d) {
      sum += static_cast<double>(x[t][d]) * static_cast<double>(w[d][e]);
    }
    logits[t][e] = static_cast<float>(sum);
  }
};

struct InputGrad {
  Rows<const float> dlogits, w;
  Rows<float> dx;
  int64_t D, E;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t t = i / D, d = i % D;
    double sum = 0;
    for (int64_t e = 0; e < E; ++e) {
      sum += static_cast<double>(dlogits[t][e]) * static_cast<double>(w[d][e]);
    }
    dx[t][d] = static_cast<float>(sum);
  }
};

struct WeightGrad {
  Rows<const float> x, dlogits;
  Rows<float> dw;
  int64_t T, E;
  bool accumulate;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t d = i / E, e = i % E;
    double sum = accumulate ? static_cast<double>(dw[d][e]) : 0.0;
    for (int64_t t = 0; t < T; ++t) {
      sum += static_cast<double>(x[t][d]) * static_cast<double>(dlogits[t][e]);
    }
    dw[d][e] = static_cast<float>(sum);
  }
};

struct Balanced {
  Rows<float> logits;
  int64_t E;
  MOIETY_HD void operator()(int64_t t) const {
    for (int64_t n = 0; n < E; ++n) {
      logits[t][(t + n) % E] = -4.f * static_cast<float>(n) / static_cast<float>(E);
    }
  }
};

struct Zipf {
  Rows<float> logits;
  Gumbel noise;
  float exponent;
  int64_t E;
  MOIETY_HD void operator()(int64_t t) const {
    for (int64_t e = 0; e < E; ++e) {
      logits[t][e] = noise(t, e) - exponent * logf(1 + static_cast<float>(e));
    }
  }
};

}  // namespace

void router_product(Exec& exec, ConstTensorView x, ConstTensorView w, TensorView logits) {
  const int64_t T = x.dim(0), D = w.dim(0), E = w.dim(1);
  for_each_row(exec, T * E, Product{x.rows<float>(), w.rows<float>(), logits.rows<float>(), D, E});
}

void router_input_grad(Exec& exec, ConstTensorView dlogits, ConstTensorView w, TensorView dx) {
  const int64_t T = dlogits.dim(0), D = w.dim(0), E = w.dim(1);
  for_each_row(exec, T * D,
               InputGrad{dlogits.rows<float>(), w.rows<float>(), dx.rows<float>(), D, E});
}

void router_weight_grad(Exec& exec, ConstTensorView x, ConstTensorView dlogits, bool accumulate,
                        TensorView dw) {
  const int64_t T = x.dim(0), D = dw.dim(0), E = dw.dim(1);
  for_each_row(
      exec, D * E,
      WeightGrad{x.rows<float>(), dlogits.rows<float>(), dw.rows<float>(), T, E, accumulate});
}

void force_balanced(Exec& exec, TensorView logits) {
  for_each_row(exec, logits.dim(0), Balanced{logits.rows<float>(), logits.dim(1)});
}

void force_zipf(Exec& exec, double exponent, TensorView logits) {
  const Gumbel noise{exec.rng("forced_routing")};
  for_each_row(exec, logits.dim(0),
               Zipf{logits.rows<float>(), noise, static_cast<float>(exponent), logits.dim(1)});
}

}  // namespace moiety::ops
