// Where the documents of packed sequences begin.
#pragma once

#include <cstdint>

#include <moiety/exec.h>

namespace moiety::ops {

/// The documents of a batch of packed sequences, on the device. Empty: a sequence is one document.
struct Documents {
  ConstTensorView starts;  // i32 [T], as document_starts writes it
  ConstTensorView begins;  // i32 [M + 1], as list_documents writes it

  explicit operator bool() const { return static_cast<bool>(starts); }
  const int32_t* starts_or_null() const { return starts ? starts.data<int32_t>() : nullptr; }
  /// How many there is room for, M, and where the number of their tokens lies.
  int64_t listed() const { return begins.numel() - 1; }
  const int32_t* listed_tokens() const { return begins.data<int32_t>() + listed(); }
};

/// starts i32 [T] = for each token of T / sequence sequences, the place in its sequence, from 0, of
/// its document's first token. A document begins with the sequence and behind every token `end`,
/// which is the last of its own document.
MOIETY_API void document_starts(Exec&, ConstTensorView tokens /*i32 [T]*/, int64_t sequence,
                                int64_t end, TensorView starts);
/// begins i32 [M + 1] = the first tokens, in [0, T), of the batch's first M documents in their
/// order; [M] = where the next one begins, so that [0, begins[M]) are the tokens of those listed.
/// Documents that are not there begin at T.
MOIETY_API void list_documents(Exec&, int64_t sequence, ConstTensorView starts, TensorView begins);
/// An M with room for the documents of a batch if they have 256 tokens or more on average; what is
/// not listed is slow, not wrong.
inline int64_t documents_to_list(int64_t sequences, int64_t sequence) {
  return sequences * (1 + sequence / 256);
}
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
