// Functors over tokens and over experts.
#include "core/ops/variation_loss.h"

#include <cmath>

#include <moiety/error.h>
#include <moiety/rows.cuh>

#include "core/ops/column_sums.cuh"

namespace moiety::ops {

namespace {

struct SquaredVariation {
  const float* x;
  int64_t E;
  float* loss;
  MOIETY_HD void operator()(int64_t) const {
    double sum = 0, squares = 0;
    for (int64_t e = 0; e < E; ++e) {
      const double v = static_cast<double>(x[e]);
      sum += v, squares += v * v;
    }
    if (sum > 0) {
      *loss += static_cast<float>(static_cast<double>(E) * squares / (sum * sum) - 1);
    }
  }
};

/// d/dx_e of E Q / S^2 = 2 E / S^2 (x_e - Q / S), with S the sum and Q the sum of squares.
struct SquaredVariationGrad {
  const float* x;
  int64_t E;
  const StepState* step;
  double coefficient;
  float* dx;
  MOIETY_HD void operator()(int64_t e) const {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < E; ++i) {
      const double v = static_cast<double>(x[i]);
      sum += v, squares += v * v;
    }
    const double scale =
        coefficient * static_cast<double>(step->loss_scale) * 2 * static_cast<double>(E);
    dx[e] =
        sum > 0
            ? static_cast<float>(scale / (sum * sum) * (static_cast<double>(x[e]) - squares / sum))
            : 0.f;
  }
};

struct WeightOfToken {
  Rows<const int32_t> index;
  Rows<const float> weight;
  int64_t K;
  MOIETY_HD float operator()(int64_t t, int64_t e) const {
    float sum = 0;
    for (int64_t k = 0; k < K; ++k) sum += index[t][k] == e ? weight[t][k] : 0.f;
    return sum;
  }
};

/// Slot c of expert e, for sums over slots.
struct WeightOfSlot {
  Rows<const int32_t> index;
  Rows<const float> weight;
  MOIETY_HD float operator()(int64_t c, int64_t e) const {
    return index[e][c] >= 0 ? weight[e][c] : 0.f;
  }
};

struct SpreadImportance {
  Rows<const int32_t> index;
  const float* dimportance;
  bool by_token;
  int64_t width;
  Rows<float> dweight;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t row = i / width, column = i % width;
    const int32_t code = index[row][column];
    if (code >= 0) dweight[row][column] += dimportance[by_token ? code : row];
  }
};

/// The K-th and the next largest logit of a token, lower expert first in a tie.
struct Best {
  Rows<const float> logits;
  const uint8_t* mask;
  int64_t E, K;
  float inverse;  // 1 / sigma
  struct Pair {
    int64_t kth, next;  // experts; -1 = none
  };
  MOIETY_HD bool used(int64_t t) const { return mask == nullptr || mask[t] != 0; }
  /// The largest below `above` in the order (logit, then lower expert); -1 = from the top.
  MOIETY_HD int64_t below(int64_t t, int64_t above) const {
    int64_t best = -1;
    for (int64_t e = 0; e < E; ++e) {
      if (above >= 0 && !before(t, above, e)) continue;
      if (best < 0 || before(t, e, best)) best = e;
    }
    return best;
  }
  /// Whether a comes before b, for a != b.
  MOIETY_HD bool before(int64_t t, int64_t a, int64_t b) const {
    const float x = logits[t][a], y = logits[t][b];
    return x > y || (x == y && a < b);
  }
  MOIETY_HD Pair find(int64_t t) const {
    int64_t kth = -1;
    for (int64_t k = 0; k < K; ++k) {
      kth = below(t, kth);
      if (kth < 0) return {-1, -1};
    }
    return {kth, below(t, kth)};
  }
  /// The expert whose logit e has to pass.
  MOIETY_HD int64_t threshold(int64_t t, int64_t e, const Pair& pair) const {
    const bool chosen = e == pair.kth || before(t, e, pair.kth);
    return chosen ? pair.next : pair.kth;
  }
  MOIETY_HD float distance(int64_t t, int64_t e, int64_t threshold) const {
    return (logits[t][e] - logits[t][threshold]) * inverse;
  }
};

struct Probability {
  Best best;
  float* out;  // [T, E]
  MOIETY_HD void operator()(int64_t t) const {
    const Best::Pair pair = best.used(t) ? best.find(t) : Best::Pair{-1, -1};
    for (int64_t e = 0; e < best.E; ++e) {
      float p = 0;
      if (pair.next >= 0) {
        const float z = best.distance(t, e, best.threshold(t, e, pair));
        p = 0.5f * erfcf(-z * 0.70710678f);
      } else if (pair.kth >= 0) {
        p = 1;  // K = E
      }
      out[t * best.E + e] = p;
    }
  }
};

struct Cell {
  const float* values;
  int64_t E;
  MOIETY_HD float operator()(int64_t t, int64_t e) const { return values[t * E + e]; }
};

struct LoadGradient {
  Best best;
  const float* dload;
  Rows<float> dlogits;
  MOIETY_HD void operator()(int64_t t) const {
    if (!best.used(t)) return;
    const Best::Pair pair = best.find(t);
    if (pair.next < 0) return;
    float of_kth = 0, of_next = 0;
    for (int64_t e = 0; e < best.E; ++e) {
      const int64_t threshold = best.threshold(t, e, pair);
      const float z = best.distance(t, e, threshold);
      const float g = dload[e] * 0.39894228f * expf(-0.5f * z * z) * best.inverse;
      dlogits[t][e] += g;
      (threshold == pair.kth ? of_kth : of_next) += g;
    }
    dlogits[t][pair.kth] -= of_kth;
    dlogits[t][pair.next] -= of_next;
  }
};

Best best_of(ConstTensorView logits, ConstTensorView mask, int64_t K, double sigma) {
  const int64_t E = logits.dim(1);
  if (K < 1 || K > E) throw Error("smooth_load: K is not between 1 and the number of experts");
  return {logits.rows<float>(), mask ? mask.data<uint8_t>() : nullptr, E, K,
          static_cast<float>(1 / sigma)};
}

}  // namespace

void squared_variation(Exec& exec, ConstTensorView x, TensorView loss) {
  for_each_row(exec, 1, SquaredVariation{x.data<float>(), x.numel(), loss.data<float>()});
}

void squared_variation_grad(Exec& exec, ConstTensorView x, double coefficient, TensorView dx) {
  for_each_row(
      exec, x.numel(),
      SquaredVariationGrad{x.data<float>(), x.numel(), exec.step(), coefficient, dx.data<float>()});
}

void importance(Exec& exec, const RoutingPlan& plan, PlanLayout layout, int64_t experts,
                TensorView out) {
  const Rows<const int32_t> index = ConstTensorView(plan.index).rows<int32_t>();
  const Rows<const float> weight = ConstTensorView(plan.weight).rows<float>();
  const int64_t width = plan.index.dim(1);
  if (layout == PlanLayout::kExpertMajor) {
    column_sums(exec, width, experts, WeightOfSlot{index, weight}, out.data<float>(), false);
  } else {
    column_sums(exec, plan.index.dim(0), experts, WeightOfToken{index, weight, width},
                out.data<float>(), false);
  }
}

void importance_backward(Exec& exec, const RoutingPlan& plan, PlanLayout layout,
                         ConstTensorView dimportance, TensorView dweight) {
  for_each_row(exec, plan.index.numel(),
               SpreadImportance{ConstTensorView(plan.index).rows<int32_t>(),
                                dimportance.data<float>(), layout == PlanLayout::kTokenMajor,
                                plan.index.dim(1), dweight.rows<float>()});
}

void smooth_load(Exec& exec, ConstTensorView logits, ConstTensorView token_mask, int64_t K,
                 double sigma, TensorView out) {
  const int64_t T = logits.dim(0), E = logits.dim(1);
  float* p = exec.scratch(DType::kF32, {T, E}).data<float>();
  for_each_row(exec, T, Probability{best_of(logits, token_mask, K, sigma), p});
  column_sums(exec, T, E, Cell{p, E}, out.data<float>(), false);
}

void smooth_load_backward(Exec& exec, ConstTensorView logits, ConstTensorView token_mask, int64_t K,
                          double sigma, ConstTensorView dload, TensorView dlogits) {
  for_each_row(exec, logits.dim(0),
               LoadGradient{best_of(logits, token_mask, K, sigma), dload.data<float>(),
                            dlogits.rows<float>()});
}

}  // namespace moiety::ops
