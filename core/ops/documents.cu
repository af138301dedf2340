// Documents' first tokens in two passes: the last begin in each piece of a sequence, then for each
// token the last one before it, in its piece or in those before.
#include "core/ops/documents.h"

#include <algorithm>
#include <string>

#include <moiety/rows.cuh>

#include "core/ops/shape_checks.h"

namespace moiety::ops {

namespace {

constexpr int64_t kPiece = 64;  // tokens: a thread reads at most these and one number for each piece

struct Documents {
  const int32_t* tokens;
  int64_t sequence, pieces;  // of a sequence
  int64_t end;

  /// The last place in [from, to] of the sequence at `first` where a document begins, or -1.
  MOIETY_HD int64_t last_begin(int64_t first, int64_t from, int64_t to) const {
    for (int64_t place = to; place >= from; --place) {
      if (place == 0 || tokens[first + place - 1] == end) return place;
    }
    return -1;
  }
};

struct LastOfPieces {
  Documents documents;
  int32_t* last;  // [sequences, pieces], -1 = none begins there
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t first = i / documents.pieces * documents.sequence;
    const int64_t from = i % documents.pieces * kPiece;
    const int64_t behind = from + kPiece;
    const int64_t to = (behind < documents.sequence ? behind : documents.sequence) - 1;
    last[i] = static_cast<int32_t>(documents.last_begin(first, from, to));
  }
};

struct StartOfToken {
  Documents documents;
  const int32_t* last;
  int32_t* starts;
  MOIETY_HD void operator()(int64_t t) const {
    const int64_t place = t % documents.sequence, sequence = t / documents.sequence;
    int64_t piece = place / kPiece;
    int64_t start = documents.last_begin(t - place, piece * kPiece, place);
    // Ends: a document begins at place 0, in the first piece.
    while (start < 0) start = last[sequence * documents.pieces + --piece];
    starts[t] = static_cast<int32_t>(start);
  }
};

struct Place {
  const int32_t* starts;
  int32_t* positions;
  int64_t sequence;
  MOIETY_HD void operator()(int64_t t) const {
    positions[t] = static_cast<int32_t>(place_of_token(starts, t, sequence));
  }
};

void check_sequences(const char* op, int64_t tokens, int64_t sequence) {
  if (sequence >= 1 && tokens % sequence == 0) return;
  throw Error(std::string(op) + ": " + std::to_string(tokens) +
              " tokens are not whole sequences of " + std::to_string(sequence));
}

}  // namespace

void document_starts(Exec& exec, ConstTensorView tokens, int64_t sequence, int64_t end,
                     TensorView starts) {
  const int64_t T = tokens.numel();
  check_shape("document_starts", "starts", starts, {T});
  check_sequences("document_starts", T, sequence);
  if (T == 0) return;
  const Documents documents{tokens.data<int32_t>(), sequence, (sequence + kPiece - 1) / kPiece,
                            end};
  const int64_t pieces = T / sequence * documents.pieces;
  int32_t* last = exec.scratch(DType::kI32, {pieces}).data<int32_t>();
  for_each_row(exec, pieces, LastOfPieces{documents, last});
  for_each_row(exec, T, StartOfToken{documents, last, starts.data<int32_t>()});
}

void token_positions(Exec& exec, int64_t sequence, ConstTensorView starts, TensorView positions) {
  const int64_t T = positions.numel();
  if (starts) check_shape("token_positions", "starts", starts, {T});
  check_sequences("token_positions", T, sequence);
  for_each_row(exec, T,
               Place{starts ? starts.data<int32_t>() : nullptr, positions.data<int32_t>(),
                     sequence});
}

}  // namespace moiety::ops
