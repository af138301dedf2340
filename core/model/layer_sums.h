// The statistics and the loss weights of one MoE layer, out of those of the model.
#pragma once

#include <cstdint>

#include "core/config/run_config.h"
#include "core/model/model.h"
#include "core/model/moe_losses.h"

namespace moiety {

/// Row `row` of `table` [rows, most experts], as far as this layer has experts: [experts].
TensorView row_of(const TensorView& table, int64_t row, int64_t experts);
/// Element i of `vector`, or nothing where there is no vector: [1].
TensorView element_of(const TensorView& vector, int64_t i);

/// Where the layer in row `row` of `sums` adds what it knows from its micro-batch alone. Importance
/// and load are computed only where `losses` has them.
MoeSums layer_sums(const StepSums& sums, const BalanceLosses& losses, int64_t row, int64_t experts);

/// Weights of all losses of `config`; `share` is 1 / micro-batches.
MoeLossWeights loss_weights(const MoeConfig& config, double share);

}  // namespace moiety
