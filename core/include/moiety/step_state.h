// What changes between steps. It lives on the device, so a captured graph never freezes it.
#pragma once

#include <cstdint>

#include <moiety/export.h>

namespace moiety {

/// One per run. With fp16 a batch may be skipped, so `batch` and `update` drift apart.
struct StepState {
  int64_t batch = 0;      // train batches seen; keys the noise
  int64_t update = 1;     // number of the coming update; a skipped batch does not count
  float lr = 0;           // of the schedule, already at `update`
  float loss_scale = 1;   // factor on the gradient that enters backward
  float grad_factor = 1;  // unscale times clip, for the optimizer
  int32_t skip = 0;       // non-zero: overflow, leave parameters and state as they are
  // Of a schedule that moves them; below 0 = the optimizer's own. An optimizer with an option
  // `betas` takes its decays from here.
  double beta1 = -1, beta2 = -1;

  MOIETY_HD double first_beta(double own) const { return beta1 < 0 ? own : beta1; }
  MOIETY_HD double second_beta(double own) const { return beta2 < 0 ? own : beta2; }
};

/// Where the rows of a call lie in the train batch, over all micro-batches and ranks. One per
/// micro-batch in flight: a recomputation needs the map of its own micro-batch.
struct RowMap {
  int64_t first = 0;
  int64_t block = INT64_MAX;  // rows that lie together (a slice of a sequence)
  int64_t stride = 0;         // from one block to the next
  MOIETY_HD int64_t global(int64_t row) const { return first + row / block * stride + row % block; }
};

}  // namespace moiety
