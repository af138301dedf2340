// DeepSeek-V3's sequence-wise balancing loss (DeepSeek-AI, 2024, eq. 17-20), and what all balancing
// losses of the core see as probabilities.
//
//   loss = mean over sequences of E * sum_e (share of e in the sequence's choices) * P_e
//
// P_e is the mean over the sequence's used tokens of the shares below. The choices count before
// dropping, and carry no gradient.
#pragma once

#include <cstdint>

#include "core/ops/routing.h"

namespace moiety::ops {

/// shares [T, E] = each row of scores over its sum; a row that sums to 0 or less gives zeros. f32.
/// Rows of a softmax come out as they are.
MOIETY_API void share_rows(Exec&, ConstTensorView scores, TensorView shares);
/// dscores may alias dshares.
MOIETY_API void share_rows_backward(Exec&, ConstTensorView scores, ConstTensorView dshares,
                                    TensorView dscores);

/// Of B sequences, f32.
struct SequenceSums {
  TensorView chosen, shares;  // [B, E]
  TensorView tokens;          // [B]: used ones
};
/// The T tokens are B sequences of T / B, in order. B is out.tokens' size.
MOIETY_API void sequence_sums(Exec&, const RoutingPlan&, PlanLayout, ConstTensorView shares,
                              ConstTensorView token_mask, const SequenceSums& out);
/// loss f32 [1] += sum over these sequences / `sequences`, f32 [1]: how many the train batch has. A
/// sequence without tokens adds nothing.
MOIETY_API void sequence_balance_loss(Exec&, const SequenceSums&, ConstTensorView sequences,
                                      TensorView loss /* += */);
/// dshares += coefficient * exec.step()->loss_scale * gradient, nothing for masked tokens.
MOIETY_API void sequence_balance_grad(Exec&, const SequenceSums&, ConstTensorView sequences,
                                      double coefficient, ConstTensorView token_mask,
                                      TensorView dshares /*f32 [T, E], += */);

/// tokens, sequences f32 [1] += used tokens, and sequences that have one, of `count` sequences of
/// `length` tokens. `token_mask` u8 [count * length] or empty.
MOIETY_API void count_sequences(Exec&, ConstTensorView token_mask, int64_t count, int64_t length,
                                TensorView tokens, TensorView sequences);

}  // namespace moiety::ops
