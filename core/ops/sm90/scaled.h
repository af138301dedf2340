// The products of operands of one byte with scales, which run() hands on: they have files of their
// own because each kernel takes long to compile.
#pragma once

#include "core/ops/sm90/grouped_problem.h"

namespace moiety::ops::sm90 {

void run_scaled(const ProductProblem& problem, cudaStream_t stream);
void run_scaled(const ActivatedProblem& problem, cudaStream_t stream);
void run_scaled(const ActivatedBackwardProblem& problem, cudaStream_t stream);

}  // namespace moiety::ops::sm90
