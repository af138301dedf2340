#include "core/model/layer_sums.h"

namespace moiety {

TensorView row_of(const TensorView& table, int64_t row, int64_t experts) {
  return table.slice(0, row, 1).slice(1, 0, experts).reshape({experts});
}

TensorView element_of(const TensorView& vector, int64_t i) {
  return vector ? vector.slice(0, i, 1) : vector;
}

MoeSums layer_sums(const StepSums& sums, const BalanceLosses& losses, int64_t row,
                   int64_t experts) {
  MoeSums layer;
  if (sums.chosen) {
    layer.routing = {row_of(sums.chosen, row, experts), row_of(sums.dropped, row, experts),
                     row_of(sums.probability, row, experts), element_of(sums.entropy, row),
                     element_of(sums.tokens, row)};
  }
  layer.aux = element_of(sums.aux, row);
  layer.balance = element_of(sums.balance, row);
  layer.z = element_of(sums.z, row);
  if (losses.importance > 0) layer.importance = element_of(sums.importance, row);
  if (losses.load > 0) layer.load = element_of(sums.load, row);
  return layer;
}

MoeLossWeights loss_weights(const MoeConfig& config, double share) {
  const BalanceLosses losses = balance_losses_of(config);
  MoeLossWeights weights;
  weights.gate = config.loss_coeff * share;
  weights.balance = losses.micro_batch * share;
  weights.z = config.z_loss_coeff * share;
  weights.model = losses.model * share;
  weights.sequence = losses.sequence;
  weights.global_batch = losses.global_batch;
  weights.importance = losses.importance * share;
  weights.load = losses.load * share;
  weights.load_noise = config.load_loss_noise;
  return weights;
}

}  // namespace moiety
