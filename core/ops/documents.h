// Where the documents of packed sequences begin.
#pragma once

#include <cstdint>

#include <moiety/exec.h>

namespace moiety::ops {

/// starts i32 [T] = for each token of T / sequence sequences, the place in its sequence, from 0, of
/// its document's first token. A document begins with the sequence and behind every token `end`,
/// which is the last of its own document.
MOIETY_API void document_starts(Exec&, ConstTensorView tokens /*i32 [T]*/, int64_t sequence,
                                int64_t end, TensorView starts);
/// positions i32 [T] = the place in its sequence of each token, or in its document where `starts`
/// [T] is not empty.
MOIETY_API void token_positions(Exec&, int64_t sequence, ConstTensorView starts,
                                TensorView positions);

/// Place of token t in its document; `starts` null: in its sequence.
MOIETY_HD inline int64_t place_of_token(const int32_t* starts, int64_t t, int64_t sequence) {
  const int64_t place = t % sequence;
  return starts == nullptr ? place : place - starts[t];
}

}  // namespace moiety::ops
