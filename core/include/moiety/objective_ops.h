// Building blocks of objectives. Each runs on exec's device and stream, without a host
// synchronisation. Letters: R rows, V vocabulary or classes.
#pragma once

#include <moiety/exec.h>
#include <moiety/objective.h>

namespace moiety::ops {

/// Softmax cross-entropy against (1 - smoothing) onehot + smoothing / V (Szegedy et al., 2016, eq.
/// 7; torch's label_smoothing): row_loss f32 [R] (0 where target < 0), and grad = (softmax -
/// target) * mask * exec.step()->loss_scale / denominator. grad may alias the logits, and is empty
/// in evaluation.
MOIETY_API void smoothed_cross_entropy(Exec&, const ObjectiveInputs&, double smoothing,
                                       TensorView row_loss, TensorView grad);

struct DistillationForm {
  double alpha = 1;        // of the cross-entropy
  double beta = 1;         // of the divergence
  double temperature = 1;  // T
  double smoothing = 0;    // of the cross-entropy's target
};
struct DistillationRows {
  TensorView loss;           // f32 [R]: alpha * cross_entropy + divergence
  TensorView cross_entropy;  // f32 [R]
  TensorView divergence;     // f32 [R]: beta T^2 sum_c p_c log(p_c / q_c)
};
/// p = softmax(teacher / T), q = softmax(logits / T) (Hinton et al., 2015; the factor T^2 keeps the
/// gradient's size). All of it 0 where target < 0. grad takes mask, loss scale and denominator as
/// above, and may alias the logits: alpha (softmax - target) + beta T (q - p).
/// inputs.teacher_logits has the logits' shape and dtype.
MOIETY_API void distillation(Exec&, const ObjectiveInputs&, const DistillationForm&,
                             const DistillationRows& rows, TensorView grad);

/// out f32 [1] += sum of mask * values over the rows, over the denominator: over all blocks and
/// micro-batches a mean. For Objective::metrics.
MOIETY_API void add_row_mean(Exec&, const ObjectiveInputs&, ConstTensorView values /*f32 [R]*/,
                             TensorView out);

}  // namespace moiety::ops
