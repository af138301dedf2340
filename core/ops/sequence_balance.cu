// Sums by (sequence, expert) in pieces of a fixed length, then functors over tokens.
#include "core/ops/sequence_balance.h"

#include <moiety/rows.cuh>

#include "core/ops/column_sums.cuh"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

struct Shares {
  const float* scores;
  int64_t E;
  float* shares;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    const float* in = scores + t * E;
    float* out = shares + t * E;
    const float sum = group.sum(E, [&](int64_t e) { return in[e]; });
    const float scale = sum > 0 ? 1.f / sum : 0.f;
    group.each(E, [&](int64_t e) { out[e] = in[e] * scale; });
  }
};

/// d(s / sum s): (dshares - <dshares, shares>) / sum.
struct SharesBackward {
  const float *scores, *dshares;
  int64_t E;
  float* dscores;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    const float *in = scores + t * E, *gradient = dshares + t * E;
    float* out = dscores + t * E;
    const float sum = group.sum(E, [&](int64_t e) { return in[e]; });
    const float product = group.sum(E, [&](int64_t e) { return in[e] * gradient[e]; });
    const float scale = sum > 0 ? 1.f / sum : 0.f;
    group.each(E, [&](int64_t e) { out[e] = (gradient[e] - product * scale) * scale; });
  }
};

struct ChosenByToken {
  Rows<const int32_t> index;
  int64_t K;
  MOIETY_HD float operator()(int64_t t, int64_t e) const {
    int32_t n = 0;
    for (int64_t k = 0; k < K; ++k) n += choice(index[t][k]) == e ? 1 : 0;
    return static_cast<float>(n);
  }
};

struct UsedShare {
  const float* shares;
  const uint8_t* mask;
  int64_t E;
  MOIETY_HD float operator()(int64_t t, int64_t e) const {
    return mask == nullptr || mask[t] != 0 ? shares[t * E + e] : 0.f;
  }
};

struct Used {
  const uint8_t* mask;
  MOIETY_HD float operator()(int64_t t, int64_t) const {
    return mask == nullptr || mask[t] != 0 ? 1.f : 0.f;
  }
};

/// partial [B, pieces, E]: sums over kColumnPiece tokens of a sequence.
template <class V>
struct SequencePieces {
  V value;
  int64_t length, pieces, E;
  float* partial;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t e = i % E, piece = i / E % pieces, b = i / E / pieces;
    const int64_t begin = piece * kColumnPiece;
    const int64_t end = begin + kColumnPiece < length ? begin + kColumnPiece : length;
    double sum = 0;
    for (int64_t s = begin; s < end; ++s) sum += static_cast<double>(value(b * length + s, e));
    partial[i] = static_cast<float>(sum);
  }
};

struct AddSequencePieces {
  const float* partial;
  int64_t pieces, E;
  float* out;  // [B, E]
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t b = i / E, e = i % E;
    double sum = 0;
    for (int64_t p = 0; p < pieces; ++p) {
      sum += static_cast<double>(partial[(b * pieces + p) * E + e]);
    }
    out[i] = static_cast<float>(sum);
  }
};

/// out f32 [B, E] = sums of value(t, e) over each sequence.
template <class V>
void sums_by_sequence(Exec& exec, int64_t sequences, int64_t length, int64_t E, const V& value,
                      float* out) {
  const int64_t pieces = (length + kColumnPiece - 1) / kColumnPiece;
  float* partial = exec.scratch(DType::kF32, {sequences * pieces, E}).data<float>();
  for_each_row(exec, sequences * pieces * E, SequencePieces<V>{value, length, pieces, E, partial});
  for_each_row(exec, sequences * E, AddSequencePieces{partial, pieces, E, out});
}

/// Expert-major plans: the tokens of a sequence that an expert takes.
struct TakenOfSequence {
  Rows<const int32_t> index;
  int64_t C, length, E;
  float* out;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t b = i / E, e = i % E;
    int32_t n = 0;
    for (int64_t c = 0; c < C; ++c) {
      const int32_t t = index[e][c];
      n += t >= 0 && t / length == b ? 1 : 0;
    }
    out[i] = static_cast<float>(n);
  }
};

struct SequenceLoss {
  const float *chosen, *shares, *tokens, *sequences;
  int64_t B, E;
  float* loss;
  MOIETY_HD void operator()(int64_t) const {
    double total = 0;
    for (int64_t b = 0; b < B; ++b) {
      double choices = 0, sum = 0;
      for (int64_t e = 0; e < E; ++e) {
        const double n = static_cast<double>(chosen[b * E + e]);
        choices += n;
        sum += n * static_cast<double>(shares[b * E + e]);
      }
      const double weight = choices * static_cast<double>(tokens[b]);
      if (weight > 0) total += static_cast<double>(E) * sum / weight;
    }
    if (*sequences > 0) *loss += static_cast<float>(total / static_cast<double>(*sequences));
  }
};

/// f32 [B]: number of choices of each sequence.
struct Choices {
  const float* chosen;
  int64_t E;
  float* out;
  MOIETY_HD void operator()(int64_t b) const {
    float sum = 0;
    for (int64_t e = 0; e < E; ++e) sum += chosen[b * E + e];
    out[b] = sum;
  }
};

struct SequenceGrad {
  const float *chosen, *tokens, *choices, *sequences;
  const StepState* step;
  const uint8_t* mask;
  int64_t length, E;
  float coefficient;
  float* dshares;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t t = i / E, e = i % E, b = t / length;
    if (mask != nullptr && mask[t] == 0) return;
    const float weight = choices[b] * tokens[b] * *sequences;
    if (!(weight > 0)) return;
    dshares[i] += coefficient * step->loss_scale * static_cast<float>(E) *
                  (chosen[b * E + e] / choices[b]) / tokens[b] / *sequences;
  }
};

struct CountSequences {
  const float* used;  // [B], or null: all tokens
  int64_t count, length;
  float *tokens, *sequences;
  MOIETY_HD void operator()(int64_t) const {
    double n = 0, filled = 0;
    for (int64_t b = 0; b < count; ++b) {
      const double of_b =
          used == nullptr ? static_cast<double>(length) : static_cast<double>(used[b]);
      n += of_b;
      filled += of_b > 0 ? 1 : 0;
    }
    *tokens += static_cast<float>(n);
    *sequences += static_cast<float>(filled);
  }
};

const uint8_t* bytes(ConstTensorView mask) { return mask ? mask.data<uint8_t>() : nullptr; }

}  // namespace

void share_rows(Exec& exec, ConstTensorView scores, TensorView shares) {
  for_each_wide_row<32>(exec, scores.dim(0),
                        Shares{scores.data<float>(), scores.dim(1), shares.data<float>()});
}

void share_rows_backward(Exec& exec, ConstTensorView scores, ConstTensorView dshares,
                         TensorView dscores) {
  for_each_wide_row<32>(exec, scores.dim(0),
                        SharesBackward{scores.data<float>(), dshares.data<float>(), scores.dim(1),
                                       dscores.data<float>()});
}

void sequence_sums(Exec& exec, const RoutingPlan& plan, PlanLayout layout, ConstTensorView shares,
                   ConstTensorView token_mask, const SequenceSums& out) {
  const int64_t B = out.tokens.numel(), E = shares.dim(1), length = shares.dim(0) / B;
  const Rows<const int32_t> index = ConstTensorView(plan.index).rows<int32_t>();
  const uint8_t* mask = bytes(token_mask);
  if (layout == PlanLayout::kExpertMajor) {
    for_each_row(exec, B * E,
                 TakenOfSequence{index, plan.index.dim(1), length, E, out.chosen.data<float>()});
  } else {
    sums_by_sequence(exec, B, length, E, ChosenByToken{index, plan.index.dim(1)},
                     out.chosen.data<float>());
  }
  sums_by_sequence(exec, B, length, E, UsedShare{shares.data<float>(), mask, E},
                   out.shares.data<float>());
  sums_by_sequence(exec, B, length, 1, Used{mask}, out.tokens.data<float>());
}

void sequence_balance_loss(Exec& exec, const SequenceSums& sums, ConstTensorView sequences,
                           TensorView loss) {
  for_each_row(exec, 1,
               SequenceLoss{sums.chosen.data<float>(), sums.shares.data<float>(),
                            sums.tokens.data<float>(), sequences.data<float>(), sums.chosen.dim(0),
                            sums.chosen.dim(1), loss.data<float>()});
}

void sequence_balance_grad(Exec& exec, const SequenceSums& sums, ConstTensorView sequences,
                           double coefficient, ConstTensorView token_mask, TensorView dshares) {
  const int64_t B = sums.chosen.dim(0), E = sums.chosen.dim(1);
  float* choices = exec.scratch(DType::kF32, {B}).data<float>();
  for_each_row(exec, B, Choices{sums.chosen.data<float>(), E, choices});
  for_each_row(
      exec, dshares.numel(),
      SequenceGrad{sums.chosen.data<float>(), sums.tokens.data<float>(), choices,
                   sequences.data<float>(), exec.step(), bytes(token_mask), dshares.dim(0) / B, E,
                   static_cast<float>(coefficient), dshares.data<float>()});
}

void count_sequences(Exec& exec, ConstTensorView token_mask, int64_t count, int64_t length,
                     TensorView tokens, TensorView sequences) {
  float* used = nullptr;
  if (token_mask) {
    used = exec.scratch(DType::kF32, {count}).data<float>();
    sums_by_sequence(exec, count, length, 1, Used{bytes(token_mask)}, used);
  }
  for_each_row(exec, 1,
               CountSequences{used, count, length, tokens.data<float>(), sequences.data<float>()});
}

}  // namespace moiety::ops
