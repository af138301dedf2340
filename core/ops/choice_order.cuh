// Numbers choices within their expert in a fixed order: counts by pieces of choices, a scan over
// the pieces, then places within each piece. The same result on both devices.
#pragma once

#include <cstdint>

#include <moiety/rows.cuh>

#include "core/ops/choice_order_cuda.cuh"

namespace moiety::ops {

inline constexpr int64_t kChoicePiece = 128;

template <class Key>
struct CountPiece {
  Key key;
  int32_t* counts;  // [pieces, E]
  int64_t n, E;
  MOIETY_HD void operator()(int64_t piece) const {
    int32_t* mine = counts + piece * E;
    for (int64_t e = 0; e < E; ++e) mine[e] = 0;
    const int64_t begin = piece * kChoicePiece;
    const int64_t end = begin + kChoicePiece < n ? begin + kChoicePiece : n;
    for (int64_t i = begin; i < end; ++i) {
      const int32_t e = key(i);
      if (e >= 0) ++mine[e];
    }
  }
};

struct ScanPieces {
  int32_t* counts;  // [pieces, E]: becomes the number before each piece
  int32_t* total;   // [E]
  int64_t pieces, E;
  MOIETY_HD void operator()(int64_t e) const {
    int32_t sum = 0;
    for (int64_t p = 0; p < pieces; ++p) {
      const int32_t here = counts[p * E + e];
      counts[p * E + e] = sum;
      sum += here;
    }
    total[e] = sum;
  }
};

struct ScanExperts {
  const int32_t* count;
  int32_t* start;
  int64_t E;
  MOIETY_HD void operator()(int64_t) const {
    int32_t sum = 0;
    for (int64_t e = 0; e < E; ++e) start[e] = sum, sum += count[e];
  }
};

template <class Key, class Sink>
struct PlacePiece {
  Key key;
  Sink sink;
  int32_t* counts;
  int64_t n, E;
  MOIETY_HD void operator()(int64_t piece) const {
    int32_t* next = counts + piece * E;
    const int64_t begin = piece * kChoicePiece;
    const int64_t end = begin + kChoicePiece < n ? begin + kChoicePiece : n;
    for (int64_t i = begin; i < end; ++i) {
      const int32_t e = key(i);
      sink(i, e, e >= 0 ? next[e]++ : -1);
    }
  }
};

/// Calls sink(i, e, place) for every choice i < n: e = key(i), in [0, E) or negative, and place =
/// how many i' < i have the same expert, -1 where e < 0. Before any call, count[e] = how many there
/// are in all and start[e] = the sum of count before e.
template <class Key, class Sink>
void order_choices(Exec& exec, int64_t n, int64_t E, const Key& key, const Sink& sink,
                   int32_t* count, int32_t* start) {
#if defined(__CUDACC__)
  if (exec.is_cuda() && E <= kMostOrderedExperts) {
    return order_choices_cuda(exec, n, E, key, sink, count, start);
  }
#endif
  const int64_t pieces = (n + kChoicePiece - 1) / kChoicePiece;
  int32_t* counts = exec.scratch(DType::kI32, {pieces, E}).data<int32_t>();
  for_each_row(exec, pieces, CountPiece<Key>{key, counts, n, E});
  for_each_row(exec, E, ScanPieces{counts, count, pieces, E});
  for_each_row(exec, 1, ScanExperts{count, start, E});
  for_each_row(exec, pieces, PlacePiece<Key, Sink>{key, sink, counts, n, E});
}

}  // namespace moiety::ops
