// What cuDNN reads about documents: lengths, and where each begins in every tensor.
#pragma once

#include <cstdint>
#include <vector>

#include <moiety/exec.h>

#include "core/ops/attention.h"

namespace moiety::ops::cuda {

/// On the device, in exec's scratch. M documents; those that are not there have length 0.
struct Ragged {
  int32_t* lengths;               // [M]
  std::vector<int64_t*> offsets;  // of each tensor [M + 1]: elements before a document's first row
};

/// `row_elements`: of each tensor, elements from one token's row to the next.
Ragged ragged(Exec& exec, const Documents& documents, const std::vector<int64_t>& row_elements);

/// log_sum [batch, heads, S] from rows [T, heads], as cuDNN lays them out for documents, and back.
void log_sum_from_rows(Exec& exec, const AttentionShape& shape, const float* rows,
                       TensorView log_sum);
void rows_from_log_sum(Exec& exec, const AttentionShape& shape, ConstTensorView log_sum,
                       float* rows);

}  // namespace moiety::ops::cuda
