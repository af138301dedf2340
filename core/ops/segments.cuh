// Which segment a slot lies in.
#pragma once

#include <cstdint>

#include <moiety/expert_type.h>

namespace moiety::ops {

struct SegmentLookup {
  const int32_t *start, *count;
  int64_t G;
  /// The segment of slot n, or -1 for padding.
  MOIETY_HD int64_t find(int64_t n) const {
    for (int64_t g = 0; g < G; ++g) {
      if (n >= start[g] && n < start[g] + count[g]) return g;
    }
    return -1;
  }
};

inline SegmentLookup lookup(const Segments& s) {
  return {s.start.data<int32_t>(), s.count.data<int32_t>(), s.start.numel()};
}

}  // namespace moiety::ops
