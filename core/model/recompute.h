// What a layer keeps from its forward to its backward, and what it computes again there.
#pragma once

#include <cstdint>

#include "core/config/run_config.h"
#include "core/device/arena.h"

namespace moiety {

enum class Recompute : uint8_t { kNone, kAttention, kExperts, kFull };

Recompute recompute_policy(const RecomputeConfig& config);

/// Where a layer's tensors lie. `kept` lasts until its backward; what lies in `again` is dropped
/// after the forward and computed again, with the same bits, before the backward reads it. Routing
/// is always kept: it is small, gates may have state, and statistics count once.
struct LayerMemory {
  Arena& kept;
  Arena& again;
  Recompute policy = Recompute::kNone;

  bool attention_again() const {
    return policy == Recompute::kAttention || policy == Recompute::kFull;
  }
  bool experts_again() const { return policy == Recompute::kExperts || policy == Recompute::kFull; }
  /// The sum behind the attention and the ffn's input: without them only the layer's input is left.
  bool stream_again() const { return policy == Recompute::kFull; }
  Arena& of(bool computed_again) const { return computed_again ? again : kept; }
};

}  // namespace moiety
