// The C best rows of every column: the C-th best value is found digit by digit (a radix select of
// 4 bits a pass), then the rows above it, and the first ones equal to it, are numbered in row
// order. Pieces of rows keep both devices busy; the result does not depend on them.
#include <cstring>

#include <moiety/ops.h>
#include <moiety/rows.cuh>

namespace moiety::ops {

namespace {

constexpr int64_t kPiece = 256;  // rows
constexpr int kDigits = 8, kValues = 16;

/// Orders as the floats do; NaN below all numbers, and 0 for what is no candidate.
struct RowKey {
  Rows<const float> scores;
  const uint8_t* mask;
  MOIETY_HD uint32_t operator()(int64_t t, int64_t e) const {
    if (mask != nullptr && mask[t] == 0) return 0;
    const float x = scores[t][e];
    if (x != x) return 1;
    uint32_t bits = 0;
    memcpy(&bits, &x, sizeof bits);
    if (bits == 0x80000000u) bits = 0;  // -0 equals 0
    return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
  }
};

/// Call i looks at one piece of one column; neighbours look at neighbouring columns.
struct Cut {
  int64_t T, E, pieces;
  MOIETY_HD int64_t column(int64_t i) const { return i % E; }
  MOIETY_HD int64_t begin(int64_t i) const { return i / E * kPiece; }
  MOIETY_HD int64_t end(int64_t i) const { return begin(i) + kPiece < T ? begin(i) + kPiece : T; }
  MOIETY_HD int64_t place(int64_t i) const { return i % E * pieces + i / E; }
};

/// Of a column: the leading digits of its C-th best key, and how many rows that match them are
/// still to be taken.
struct Threshold {
  uint32_t key;
  int32_t wanted;
};

struct Begin {
  Threshold* threshold;
  int32_t wanted;
  MOIETY_HD void operator()(int64_t e) const { threshold[e] = {0, wanted}; }
};

/// Rows of one piece and column by their next digit, among those that match the leading ones.
struct CountDigits {
  RowKey key;
  const Threshold* threshold;
  int32_t* counts;  // [E, pieces, 16]
  Cut cut;
  int shift;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t e = cut.column(i), end = cut.end(i);
    int32_t* mine = counts + cut.place(i) * kValues;
    for (int v = 0; v < kValues; ++v) mine[v] = 0;
    const uint32_t leading = shift + 4 < 32 ? ~0u << (shift + 4) : 0u;
    for (int64_t t = cut.begin(i); t < end; ++t) {
      const uint32_t k = key(t, e);
      if ((k & leading) == threshold[e].key) ++mine[k >> shift & 15u];
    }
  }
};

struct ChooseDigit {
  Threshold* threshold;
  const int32_t* counts;
  int64_t pieces;
  int shift;
  MOIETY_HD void operator()(int64_t e) const {
    Threshold& mine = threshold[e];
    for (int v = kValues - 1; v >= 0; --v) {
      int32_t here = 0;
      for (int64_t p = 0; p < pieces; ++p) here += counts[(e * pieces + p) * kValues + v];
      if (here >= mine.wanted || v == 0) {
        mine.key |= static_cast<uint32_t>(v) << shift;
        return;
      }
      mine.wanted -= here;
    }
  }
};

/// Before each piece of a column: rows above the threshold, and rows equal to it.
struct CountTaken {
  RowKey key;
  const Threshold* threshold;
  int32_t* counts;  // [E, pieces, 2]
  Cut cut;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t e = cut.column(i), end = cut.end(i);
    int32_t above = 0, equal = 0;
    for (int64_t t = cut.begin(i); t < end; ++t) {
      const uint32_t k = key(t, e);
      above += k > threshold[e].key ? 1 : 0;
      equal += k == threshold[e].key ? 1 : 0;
    }
    counts[2 * cut.place(i)] = above, counts[2 * cut.place(i) + 1] = equal;
  }
};

struct ScanTaken {
  int32_t* counts;
  int64_t pieces;
  MOIETY_HD void operator()(int64_t e) const {
    int32_t above = 0, equal = 0;
    for (int64_t i = e * pieces; i < (e + 1) * pieces; ++i) {
      const int32_t a = counts[2 * i], q = counts[2 * i + 1];
      counts[2 * i] = above, counts[2 * i + 1] = equal;
      above += a, equal += q;
    }
  }
};

struct Clear {
  Rows<int32_t> index;
  Rows<float> weight;
  int64_t C;
  MOIETY_HD void operator()(int64_t i) const {
    index[i / C][i % C] = kUnused;
    weight[i / C][i % C] = 0;
  }
};

struct Take {
  RowKey key;
  const Threshold* threshold;
  const int32_t* counts;
  Rows<int32_t> index;
  Rows<float> weight;
  Cut cut;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t e = cut.column(i), end = cut.end(i);
    const uint32_t limit = threshold[e].key;
    const int32_t ties = limit != 0 ? threshold[e].wanted : 0;  // 0: no candidate
    int32_t above = counts[2 * cut.place(i)], equal = counts[2 * cut.place(i) + 1];
    for (int64_t t = cut.begin(i); t < end; ++t) {
      const uint32_t k = key(t, e);
      if (k > limit || (k == limit && equal < ties)) {
        const int32_t place = above + (equal < ties ? equal : ties);
        index[e][place] = static_cast<int32_t>(t);
        weight[e][place] = key.scores[t][e];
      }
      above += k > limit ? 1 : 0;
      equal += k == limit ? 1 : 0;
    }
  }
};

struct Zero {
  Rows<float> x;
  int64_t columns;
  MOIETY_HD void operator()(int64_t i) const { x[i / columns][i % columns] = 0; }
};

struct Scatter {
  Rows<const int32_t> index;
  Rows<const float> dweight;
  Rows<float> dscores;
  int64_t C;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t e = i / C, c = i % C;
    if (index[e][c] >= 0) dscores[index[e][c]][e] = dweight[e][c];
  }
};

}  // namespace

void topk_columns(Exec& exec, ConstTensorView scores, ConstTensorView mask, TensorView index,
                  TensorView weight) {
  const int64_t T = scores.dim(0), E = scores.dim(1), C = index.dim(1);
  const int64_t pieces = (T + kPiece - 1) / kPiece;
  const Cut cut{T, E, pieces};
  const RowKey key{scores.rows<float>(), mask ? mask.data<uint8_t>() : nullptr};
  const TensorView memory = exec.scratch(DType::kU8, {E, static_cast<int64_t>(sizeof(Threshold))});
  auto* threshold = static_cast<Threshold*>(memory.ptr);
  int32_t* counts = exec.scratch(DType::kI32, {E, pieces, int64_t{kValues}}).data<int32_t>();
  for_each_row(exec, E * C, Clear{index.rows<int32_t>(), weight.rows<float>(), C});
  if (T == 0) return;
  for_each_row(exec, E, Begin{threshold, static_cast<int32_t>(C < T ? C : T)});
  for (int digit = kDigits - 1; digit >= 0; --digit) {
    const int shift = 4 * digit;
    for_each_row(exec, E * pieces, CountDigits{key, threshold, counts, cut, shift});
    for_each_row(exec, E, ChooseDigit{threshold, counts, pieces, shift});
  }
  for_each_row(exec, E * pieces, CountTaken{key, threshold, counts, cut});
  for_each_row(exec, E, ScanTaken{counts, pieces});
  for_each_row(exec, E * pieces,
               Take{key, threshold, counts, index.rows<int32_t>(), weight.rows<float>(), cut});
}

void topk_columns_backward(Exec& exec, ConstTensorView index, ConstTensorView dweight,
                           TensorView dscores) {
  const int64_t E = index.dim(0), C = index.dim(1);
  for_each_row(exec, dscores.numel(), Zero{dscores.rows<float>(), dscores.dim(1)});
  for_each_row(exec, E * C,
               Scatter{index.rows<int32_t>(), dweight.rows<float>(), dscores.rows<float>(), C});
}

}  // namespace moiety::ops
