#include "core/model/recompute.h"

namespace moiety {

Recompute recompute_policy(const RecomputeConfig& config) {
  if (config.policy == "full") return Recompute::kFull;
  if (config.policy == "none") return Recompute::kNone;
  return config.part == "experts" ? Recompute::kExperts : Recompute::kAttention;
}

}  // namespace moiety
