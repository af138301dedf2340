// One row of metrics.jsonl.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/json.h"
#include "core/train/step_sums.h"

namespace moiety {

struct StepRecord {
  int64_t step = 0;   // train batches seen, this one included
  int64_t batch = 0;  // number of this batch, from 0
  int64_t tokens = 0;
  double loss = 0, lr = 0, grad_norm = 0, loss_scale = 1;
  bool skipped = false;
  int64_t skipped_total = 0;
  bool scaler_exhausted = false;
  double seconds = 0;  // of this step
  double tokens_per_second = 0;
  StepNumbers numbers;
};

/// `layer_numbers`: of the MoE layers, in the order of numbers.layers.
MOIETY_API Json to_json(const StepRecord& record, const std::vector<std::string>& metric_names,
                        const std::vector<int64_t>& layer_numbers);
/// Of the MoE layers: the largest imbalance, and the mean drop rate. 1 and 0 without any.
MOIETY_API double worst_imbalance(const StepNumbers& numbers);
MOIETY_API double mean_drop_rate(const StepNumbers& numbers);
MOIETY_API int64_t dead_experts(const StepNumbers& numbers);

}  // namespace moiety
