// A shuffle of any size without memory: the order of the samples in an epoch.
#pragma once

#include <cstdint>

#include <moiety/export.h>

namespace moiety {

/// A bijection of [0, size), keyed by seed and epoch: a Feistel network over the next even number
/// of bits (Luby and Rackoff, 1988), walked until it lands inside (Black and Rogaway, 2002).
class MOIETY_API Permutation64 {
 public:
  Permutation64(int64_t size, uint64_t seed, int64_t epoch);
  int64_t operator()(int64_t i) const;

 private:
  uint64_t round_trip(uint64_t x) const;
  uint64_t size_;
  uint64_t keys_[6];
  int half_bits_;
};

}  // namespace moiety
