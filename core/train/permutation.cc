#include "core/train/permutation.h"

namespace moiety {

namespace {

/// splitmix64's finalizer (Steele et al., 2014).
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

}  // namespace

Permutation64::Permutation64(int64_t size, uint64_t seed, int64_t epoch)
    : size_(static_cast<uint64_t>(size)), half_bits_(1) {
  while (half_bits_ < 31 && (uint64_t{1} << (2 * half_bits_)) < size_) ++half_bits_;
  uint64_t key = mix(seed) ^ mix(~static_cast<uint64_t>(epoch));
  for (uint64_t& k : keys_) k = key = mix(key);
}

uint64_t Permutation64::round_trip(uint64_t x) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = x >> half_bits_, right = x & mask;
  for (const uint64_t key : keys_) {
    const uint64_t next = left ^ (mix(right ^ key) & mask);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

int64_t Permutation64::operator()(int64_t i) const {
  auto x = static_cast<uint64_t>(i);
  do {
    x = round_trip(x);
  } while (x >= size_);
  return static_cast<int64_t>(x);
}

}  // namespace moiety
