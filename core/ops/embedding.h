// Token and position embeddings.
#pragma once

#include <cstdint>

#include <moiety/exec.h>
#include <moiety/params.h>

namespace moiety::ops {

/// out [T, D] = token[id] (+ position[t % sequence - starts[t]]). position may be empty; so may
/// starts i32 [T] (documents.h), which is 0 then. Tables and out in the compute dtype.
MOIETY_API void embedding(Exec&, ConstTensorView ids /*i32 [T]*/, int64_t sequence,
                          ConstTensorView token /*[V, D]*/, ConstTensorView position /*[P, D]*/,
                          TensorView out, ConstTensorView starts = {});
/// Gradients as the parameters' grad_mode() says, summed in a fixed order. `token_accumulate`: add
/// whatever the mode (a tied head wrote first).
MOIETY_API void embedding_backward(Exec&, ConstTensorView ids, int64_t sequence, ConstTensorView dy,
                                   const Parameter& token, const Parameter* position,
                                   bool token_accumulate, ConstTensorView starts = {});

}  // namespace moiety::ops
