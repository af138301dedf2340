// Numbers of a whole train batch, which losses over it need before the first backward.
#pragma once

#include <cstdint>

#include <moiety/exec.h>

namespace moiety {

/// Adds numbers up over the data-parallel ranks, in place and in stream order.
class RankSum {
 public:
  virtual ~RankSum() = default;
  virtual void sum(Exec& exec, TensorView values /*f32*/) const = 0;
};

/// All ranks' shares of a loss are sums over this: gradients of the ranks are added, not averaged.
struct BatchTotals {
  TensorView counts;               // f32 [2]: used tokens, and sequences that have one
  TensorView load;                 // f32 [Lm, Emax]: choices before dropping
  const RankSum* ranks = nullptr;  // null = one rank
  /// False until the first forward_backward of the batch has added its own choices to `load`.
  bool complete = false;

  TensorView tokens() const { return counts.slice(0, 0, 1); }
  TensorView sequences() const { return counts.slice(0, 1, 1); }
};

}  // namespace moiety
