// Numbers choices within their expert in a fixed order: counts by pieces of 128 choices, a scan
// over the pieces, then a walk through each piece. The same code and result on both devices.
#pragma once

#include <cstdint>

#include <moiety/rows.cuh>

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

template <class Key>
struct PlacePiece {
  Key key;
  int32_t* counts;
  int32_t* place;
  int64_t n, E;
  MOIETY_HD void operator()(int64_t piece) const {
    int32_t* next = counts + piece * E;
    const int64_t begin = piece * kChoicePiece;
    const int64_t end = begin + kChoicePiece < n ? begin + kChoicePiece : n;
    for (int64_t i = begin; i < end; ++i) {
      const int32_t e = key(i);
      place[i] = e >= 0 ? next[e]++ : -1;
    }
  }
};

/// place[i] = how many i' < i have the same expert, -1 where key(i) < 0; count[e] = how many in
/// all. key(i) is in [0, E) or negative.
template <class Key>
void order_choices(Exec& exec, int64_t n, int64_t E, const Key& key, int32_t* place,
                   int32_t* count) {
  const int64_t pieces = (n + kChoicePiece - 1) / kChoicePiece;
  int32_t* counts = exec.scratch(DType::kI32, {pieces, E}).data<int32_t>();
  for_each_row(exec, pieces, CountPiece<Key>{key, counts, n, E});
  for_each_row(exec, E, ScanPieces{counts, count, pieces, E});
  for_each_row(exec, pieces, PlacePiece<Key>{key, counts, place, n, E});
}

/// start[e] = sum of count before e: one thread, E is small.
struct ScanExperts {
  const int32_t* count;
  int32_t* start;
  int64_t E;
  MOIETY_HD void operator()(int64_t) const {
    int32_t sum = 0;
    for (int64_t e = 0; e < E; ++e) start[e] = sum, sum += count[e];
  }
};

}  // namespace moiety::ops
