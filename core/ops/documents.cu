// Documents' first tokens in two passes: the last begin in each piece of a sequence, then for each
// token the last one before it, in its piece or in those before.
#include "core/ops/documents.h"

#include <string>

#include <moiety/rows.cuh>

#include "core/ops/shape_checks.h"

namespace moiety::ops {

namespace {

constexpr int64_t kPiece =
    64;  // tokens: a thread reads at most these and one number for each piece

struct EndTokens {
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
  EndTokens ends;
  int32_t* last;  // [sequences, pieces], -1 = none begins there
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t first = i / ends.pieces * ends.sequence;
    const int64_t from = i % ends.pieces * kPiece;
    const int64_t behind = from + kPiece;
    const int64_t to = (behind < ends.sequence ? behind : ends.sequence) - 1;
    last[i] = static_cast<int32_t>(ends.last_begin(first, from, to));
  }
};

struct StartOfToken {
  EndTokens ends;
  const int32_t* last;
  int32_t* starts;
  MOIETY_HD void operator()(int64_t t) const {
    const int64_t place = t % ends.sequence, sequence = t / ends.sequence;
    int64_t piece = place / kPiece;
    int64_t start = ends.last_begin(t - place, piece * kPiece, place);
    // Ends: a document begins at place 0, in the first piece.
    while (start < 0) start = last[sequence * ends.pieces + --piece];
    starts[t] = static_cast<int32_t>(start);
  }
};

/// Documents that begin in each piece of the batch's tokens.
struct Begins {
  const int32_t* starts;
  int64_t tokens, sequence;
  MOIETY_HD bool at(int64_t t) const { return place_of_token(starts, t, sequence) == 0; }
  MOIETY_HD int64_t end_of(int64_t piece) const {
    const int64_t end = (piece + 1) * kPiece;
    return end < tokens ? end : tokens;
  }
};

struct CountBegins {
  Begins begins;
  int32_t* count;  // [pieces]
  MOIETY_HD void operator()(int64_t piece) const {
    int32_t n = 0;
    for (int64_t t = piece * kPiece; t < begins.end_of(piece); ++t) n += begins.at(t) ? 1 : 0;
    count[piece] = n;
  }
};

struct WriteBegins {
  Begins begins;
  const int32_t* count;
  int32_t* out;
  int64_t last;  // M, the last element of out
  MOIETY_HD void operator()(int64_t piece) const {
    int64_t document = 0;
    for (int64_t before = 0; before < piece; ++before) document += count[before];
    for (int64_t t = piece * kPiece; t < begins.end_of(piece); ++t) {
      if (!begins.at(t)) continue;
      if (document <= last) out[document] = static_cast<int32_t>(t);
      ++document;
    }
    if (begins.end_of(piece) < begins.tokens) return;
    for (; document <= last; ++document) out[document] = static_cast<int32_t>(begins.tokens);
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
  const EndTokens ends{tokens.data<int32_t>(), sequence, (sequence + kPiece - 1) / kPiece, end};
  const int64_t pieces = T / sequence * ends.pieces;
  int32_t* last = exec.scratch(DType::kI32, {pieces}).data<int32_t>();
  for_each_row(exec, pieces, LastOfPieces{ends, last});
  for_each_row(exec, T, StartOfToken{ends, last, starts.data<int32_t>()});
}

void list_documents(Exec& exec, int64_t sequence, ConstTensorView starts, TensorView begins) {
  const int64_t T = starts.numel(), pieces = (T + kPiece - 1) / kPiece;
  check_rank("list_documents", "begins", begins, 1);
  check_sequences("list_documents", T, sequence);
  const Begins of{starts.data<int32_t>(), T, sequence};
  int32_t* count = exec.scratch(DType::kI32, {pieces}).data<int32_t>();
  for_each_row(exec, pieces, CountBegins{of, count});
  for_each_row(exec, pieces, WriteBegins{of, count, begins.data<int32_t>(), begins.numel() - 1});
}

void token_positions(Exec& exec, int64_t sequence, ConstTensorView starts, TensorView positions) {
  const int64_t T = positions.numel();
  if (starts) check_shape("token_positions", "starts", starts, {T});
  check_sequences("token_positions", T, sequence);
  for_each_row(
      exec, T,
      Place{starts ? starts.data<int32_t>() : nullptr, positions.data<int32_t>(), sequence});
}

}  // namespace moiety::ops
