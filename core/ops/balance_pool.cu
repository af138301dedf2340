// Functors over experts, and over (token, expert) for the gradient.
#include "core/ops/balance_pool.h"

#include <moiety/blocks.cuh>
#include <moiety/rows.cuh>

namespace moiety::ops {

namespace {

struct AddToPool {
  const float *chosen, *probability, *tokens, *mean_score;
  float *pool_chosen, *pool_probability, *pool_tokens;
  MOIETY_HD void operator()(int64_t e) const {
    pool_chosen[e] += chosen[e];
    pool_probability[e] += mean_score != nullptr ? mean_score[e] * tokens[0] : probability[e];
    if (e == 0) pool_tokens[0] += tokens[0];
  }
};

struct Loss {
  static constexpr int kSums = 1;
  const float *chosen, *probability, *tokens;
  int64_t experts;
  float* loss;
  MOIETY_HD void run(int64_t, int64_t lane, int64_t lanes, double* sums) const {
    for (int64_t e = lane; e < experts; e += lanes) {
      sums[0] += static_cast<double>(chosen[e]) * static_cast<double>(probability[e]);
    }
  }
  MOIETY_HD void finish(int64_t, const double* sums) const {
    const double n = static_cast<double>(tokens[0]);
    if (n == 0) return;
    loss[0] += static_cast<float>(static_cast<double>(experts) * sums[0] / (n * n));
  }
};

struct Grad {
  const float *chosen, *tokens;
  const StepState* step;
  const uint8_t* mask;
  int64_t experts;
  float coefficient;
  float* dprobs;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t t = i / experts, e = i % experts;
    const float n = tokens[0];
    if (n == 0 || (mask != nullptr && mask[t] == 0)) return;
    dprobs[i] += coefficient * step->loss_scale * static_cast<float>(experts) * (chosen[e] / n) / n;
  }
};

struct AddSums {
  const float *chosen, *dropped, *probability, *entropy, *tokens;
  float *to_chosen, *to_dropped, *to_probability, *to_entropy, *to_tokens;
  MOIETY_HD void operator()(int64_t e) const {
    to_chosen[e] += chosen[e];
    to_dropped[e] += dropped[e];
    to_probability[e] += probability[e];
    if (e == 0) to_entropy[0] += entropy[0], to_tokens[0] += tokens[0];
  }
};

}  // namespace

void add_to_pool(Exec& exec, const RoutingSums& layer, ConstTensorView mean_score,
                 const BalancePool& pool) {
  for_each_row(exec, layer.chosen.numel(),
               AddToPool{layer.chosen.data<float>(), layer.probability.data<float>(),
                         layer.tokens.data<float>(),
                         mean_score ? mean_score.data<float>() : nullptr, pool.chosen.data<float>(),
                         pool.probability.data<float>(), pool.tokens.data<float>()});
}

void pooled_balance_loss(Exec& exec, const BalancePool& pool, TensorView loss) {
  for_each_block(exec, 1,
                 Loss{pool.chosen.data<float>(), pool.probability.data<float>(),
                      pool.tokens.data<float>(), pool.chosen.numel(), loss.data<float>()});
}

void pooled_balance_grad(Exec& exec, const BalancePool& pool, double coefficient,
                         ConstTensorView token_mask, TensorView dprobs) {
  const uint8_t* mask = token_mask ? token_mask.data<uint8_t>() : nullptr;
  for_each_row(exec, dprobs.numel(),
               Grad{pool.chosen.data<float>(), pool.tokens.data<float>(), exec.step(), mask,
                    pool.chosen.numel(), static_cast<float>(coefficient), dprobs.data<float>()});
}

void add_routing_sums(Exec& exec, const RoutingSums& from, const RoutingSums& to) {
  for_each_row(
      exec, from.chosen.numel(),
      AddSums{from.chosen.data<float>(), from.dropped.data<float>(), from.probability.data<float>(),
              from.entropy.data<float>(), from.tokens.data<float>(), to.chosen.data<float>(),
              to.dropped.data<float>(), to.probability.data<float>(), to.entropy.data<float>(),
              to.tokens.data<float>()});
}

}  // namespace moiety::ops
