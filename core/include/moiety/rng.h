// Counter-based noise: Philox 4x32-10 (Salmon et al., 2011), keyed by run seed, layer and purpose,
// counted by batch, global row and column. No state, so a recomputation sees the same bits.
#pragma once

#include <cstdint>

#include <moiety/step_state.h>

namespace moiety {

/// What the noise is for. The core adds the run seed and the layer.
struct RngKey {
  uint32_t purpose = 2166136261u;
  consteval RngKey(const char* name) {  // NOLINT: exec.rng("gumbel") is the point
    for (; *name != 0; ++name) purpose = (purpose ^ static_cast<uint8_t>(*name)) * 16777619u;
  }
};

/// Carried into kernels by value.
struct Rng {
  uint64_t key = 0;
  const StepState* step = nullptr;  // device
  const RowMap* rows = nullptr;     // device
  const int64_t* row_id = nullptr;  // device; global rows one by one, instead of `rows`
  const float* bound = nullptr;     // a test's own noise [rows, width] instead of Philox
  int64_t width = 0;

  /// In (0, 1), the same for the same global row wherever that row is computed.
  MOIETY_HD float uniform(int64_t row, int64_t column) const {
    if (bound != nullptr) return bound[row * width + column];
    uint32_t c[4];
    philox(row, column >> 2, c);
    return in_unit_interval(c[column & 3]);
  }
  /// uniform() of the columns 4 * block to 4 * block + 3, at the price of one.
  MOIETY_HD void uniform4(int64_t row, int64_t block, float (&out)[4]) const {
    if (bound != nullptr) {
      for (int64_t i = 0, c = 4 * block; i < 4; ++i, ++c) {
        out[i] = c < width ? bound[row * width + c] : 0.5f;
      }
      return;
    }
    uint32_t c[4];
    philox(row, block, c);
    for (int i = 0; i < 4; ++i) out[i] = in_unit_interval(c[i]);
  }

 private:
  static MOIETY_HD float in_unit_interval(uint32_t bits) {
    return (static_cast<float>(bits >> 9) + 0.5f) * 0x1p-23f;
  }
  /// The four words of columns 4 * block to 4 * block + 3.
  MOIETY_HD void philox(int64_t row, int64_t block, uint32_t (&c)[4]) const {
    const uint64_t global = row_id != nullptr ? row_id[row] : rows->global(row);
    c[0] = static_cast<uint32_t>(global), c[1] = static_cast<uint32_t>(global >> 32);
    c[2] = static_cast<uint32_t>(block), c[3] = static_cast<uint32_t>(step->batch);
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      const uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
      const uint32_t c1 = c[1], c3 = c[3];
      c[0] = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, c[1] = static_cast<uint32_t>(p1);
      c[2] = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1, c[3] = static_cast<uint32_t>(p0);
    }
  }
};

}  // namespace moiety
