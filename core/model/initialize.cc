// Philox 4x32-10 (Salmon et al., 2011): four words serve four neighbouring elements.
#include "core/model/initialize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace moiety {

namespace {

std::array<uint32_t, 4> philox(uint64_t key, uint64_t counter) {
  std::array<uint32_t, 4> c = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32),
                               0, 0};
  auto k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
  }
  return c;
}

/// In (0, 1).
double unit(uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; }

/// Four standard normal numbers (Box and Muller, 1958).
std::array<double, 4> normals(const std::array<uint32_t, 4>& words) {
  std::array<double, 4> z{};
  for (size_t i = 0; i < 4; i += 2) {
    const double radius = std::sqrt(-2 * std::log(unit(words[i])));
    const double angle = 2 * std::numbers::pi * unit(words[i + 1]);
    z[i] = radius * std::cos(angle), z[i + 1] = radius * std::sin(angle);
  }
  return z;
}

std::array<double, 4> four(const InitialValues& values, uint64_t group) {
  const std::array<uint32_t, 4> words = philox(values.key, group);
  if (values.init == Init::kNormal) return normals(words);
  std::array<double, 4> u{};
  for (size_t i = 0; i < 4; ++i) u[i] = 2 * unit(words[i]) - 1;
  return u;
}

}  // namespace

uint64_t initial_key(uint64_t seed, std::string_view name) {
  uint64_t hash = 14695981039346656037ull;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211ull;
  uint64_t key = (hash ^ seed * 0x9e3779b97f4a7c15ull) + 0x9e3779b97f4a7c15ull;  // splitmix64
  key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ull;
  key = (key ^ (key >> 27)) * 0x94d049bb133111ebull;
  return key ^ (key >> 31);
}

InitialValues initial_values(const ParamSpec& spec, uint64_t key, double init_std, int64_t layers) {
  InitialValues values{key, spec.init, 1, 0};
  const double by_fan_in = 1 / std::sqrt(static_cast<double>(std::max<int64_t>(spec.fan_in, 1)));
  if (spec.init == Init::kUniform) values.scale = by_fan_in;
  if (spec.init == Init::kNormal) {
    const double depth = spec.residual_output
                             ? std::sqrt(2.0 * static_cast<double>(std::max<int64_t>(layers, 1)))
                             : 1;
    values.scale = init_std > 0 ? init_std / depth : by_fan_in;
  }
  return values;
}

void draw(const InitialValues& values, int64_t begin, std::span<float> out) {
  if (values.init == Init::kZeros || values.init == Init::kOnes) {
    std::fill(out.begin(), out.end(), values.init == Init::kOnes ? 1.f : 0.f);
    return;
  }
  uint64_t group = UINT64_MAX;
  std::array<double, 4> drawn{};
  for (size_t i = 0; i < out.size(); ++i) {
    auto element = static_cast<uint64_t>(begin) + i;
    if (values.period > 0) element %= static_cast<uint64_t>(values.period);
    if (element / 4 != group) drawn = four(values, group = element / 4);
    out[i] = static_cast<float>(values.scale * drawn[element % 4]);
  }
}

}  // namespace moiety
