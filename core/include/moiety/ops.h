// Building blocks of the core that plugins may call. Each runs on exec's device and stream, without
// a host synchronisation. Outputs are written whole unless a comment says +=. Letters: T tokens,
// E experts, K choices, N slots, L local experts, D model, H hidden, R rows, V vocabulary.
#pragma once

#include <cstdint>

#include <moiety/expert_type.h>
#include <moiety/gating_policy.h>
#include <moiety/objective.h>

namespace moiety::ops {

// ---- Any tensor ----

MOIETY_API void fill(Exec&, TensorView x, double value);
MOIETY_API void copy(Exec&, ConstTensorView from, TensorView to);  ///< converts f32/bf16/f16
MOIETY_API void add(Exec&, ConstTensorView a, ConstTensorView b, TensorView out);

// ---- Routers: f32; index is i32 [T, K], mask u8 [T] or empty ----

MOIETY_API void softmax_rows(Exec&, ConstTensorView x, TensorView y);
MOIETY_API void softmax_rows_backward(Exec&, ConstTensorView y, ConstTensorView dy, TensorView dx);

/// The K best of each row, best first, lower expert first in a tie; kUnused where masked, with
/// weight 0. A NaN is never chosen before a number. Throws if K exceeds the columns.
MOIETY_API void topk_rows(Exec&, ConstTensorView scores, ConstTensorView mask, TensorView index,
                          TensorView weight);
/// dscores [T, E] = dweight where chosen and kept, else 0.
MOIETY_API void topk_rows_backward(Exec&, ConstTensorView index, ConstTensorView dweight,
                                   TensorView dscores);

/// The C best of each column of scores [T, E] among the rows whose mask is not 0: index i32 [E, C]
/// in row order, kUnused past the last candidate, with weight 0. The earlier row wins a tie.
MOIETY_API void topk_columns(Exec&, ConstTensorView scores, ConstTensorView mask, TensorView index,
                             TensorView weight);
/// dscores [T, E] = dweight [E, C] where column e chose row t, else 0.
MOIETY_API void topk_columns_backward(Exec&, ConstTensorView index, ConstTensorView dweight,
                                      TensorView dscores);

/// Numbers each expert's choices in token order (kToken: (t, k) by t, then k) or all first choices
/// before all second ones (kChoice). Choices at or past the capacity become dropped(e), position
/// -1; capacity 0 drops nothing.
enum class SlotOrder : uint8_t { kToken, kChoice };
MOIETY_API void assign_positions(Exec&, SlotOrder, int64_t experts, int64_t capacity,
                                 TensorView index, TensorView position);
/// Keeps each expert's `capacity` choices of the highest priority (f32, like index; earlier (t, k)
/// first in a tie), drops the others, and numbers the kept ones in token order. 0 drops nothing.
MOIETY_API void assign_positions_by_priority(Exec&, int64_t experts, int64_t capacity,
                                             ConstTensorView priority, TensorView index,
                                             TensorView position);

/// f32 [E]: how often each expert was chosen, before dropping.
MOIETY_API void expert_counts(Exec&, ConstTensorView index, TensorView counts);
/// f32 [E]: the same over the number of choices (0 where there are none).
MOIETY_API void expert_fraction(Exec&, ConstTensorView index, TensorView fraction);
/// out f32 [E]: mean of the rows of x [T, E] whose mask is not 0 (0 where there are none).
MOIETY_API void column_mean(Exec&, ConstTensorView x, ConstTensorView mask, TensorView out);
/// out f32 [1] = factor * <a, b>, summed in a fixed order.
MOIETY_API void dot(Exec&, ConstTensorView a, ConstTensorView b, double factor, TensorView out);
/// x[t, e] += factor * scalar[0] * v[e] for every row whose mask is not 0. scalar is f32 [1].
MOIETY_API void add_to_rows(Exec&, ConstTensorView v, ConstTensorView scalar, double factor,
                            ConstTensorView mask, TensorView x);

/// E * sum_e (share of choices of e, before dropping) * (mean of probs[:, e] over used tokens), as
/// Switch has it. With several columns of index the share is over all of them.
MOIETY_API void balance_loss(Exec&, ConstTensorView probs, ConstTensorView index,
                             TensorView loss /*f32 [1]*/);
MOIETY_API void balance_loss_backward(Exec&, ConstTensorView index, ConstTensorView dloss,
                                      TensorView dprobs /* += */);

// ---- Experts: slots inside segments only; x, y, h in the compute dtype; w is [L, K, rest] ----

MOIETY_API void gather_rows(Exec&, const ExpertBatch&, ConstTensorView x, TensorView out);
MOIETY_API void scale_rows(Exec&, const ExpertBatch&, TensorView x);  ///< by batch.weight, in place
MOIETY_API void row_dot(Exec&, const Segments&, ConstTensorView a, ConstTensorView b,
                        TensorView out /*f32 [N]*/);

enum class Transpose : uint8_t { kNo, kYes };
/// out[n] = a[n] * w[g % L], or times its transpose. Sums in f32.
MOIETY_API void grouped_gemm(Exec&, const Segments&, ConstTensorView a, ConstTensorView w,
                             TensorView out, Transpose = Transpose::kNo);
/// Gradient of w: sum of a[n]^T dout[n] over each expert's slots, as w.grad_mode() says. kOverwrite
/// writes zeros for an expert without slots.
MOIETY_API void grouped_gemm_grad(Exec&, const Segments&, ConstTensorView a, ConstTensorView dout,
                                  const Parameter& w);
/// x[n] += bias[g % L]; bias is f32 [L, H].
MOIETY_API void grouped_bias(Exec&, const Segments&, ConstTensorView bias, TensorView x);
MOIETY_API void grouped_bias_grad(Exec&, const Segments&, ConstTensorView dout,
                                  const Parameter& bias);

enum class Activation : uint8_t { kRelu, kReluSquared, kGelu, kGeluTanh, kSilu };
MOIETY_API void activate(Exec&, const Segments&, Activation, ConstTensorView h, TensorView out);
/// dh may alias dout.
MOIETY_API void activate_backward(Exec&, const Segments&, Activation, ConstTensorView h,
                                  ConstTensorView dout, TensorView dh);
/// out = act(gate) * up, where h [N, 2H] holds gate and up side by side.
MOIETY_API void gated_activate(Exec&, const Segments&, Activation, ConstTensorView h,
                               TensorView out);
MOIETY_API void gated_activate_backward(Exec&, const Segments&, Activation, ConstTensorView h,
                                        ConstTensorView dout, TensorView dh);

// ---- Objectives ----

/// Softmax cross-entropy of a block: row_loss f32 [R] (0 where target < 0), and grad = (softmax -
/// onehot) * mask * exec.step()->loss_scale / denominator. grad may alias the logits, and is empty
/// in evaluation.
MOIETY_API void cross_entropy(Exec&, const ObjectiveInputs&, TensorView row_loss, TensorView grad);

}  // namespace moiety::ops
