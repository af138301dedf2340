// The passes of a Muon step around the Newton-Schulz iteration.
#pragma once

#include <cmath>
#include <cstdint>

#include <moiety/param_matrices.cuh>

#include "newton_schulz.cuh"

namespace muon {

using moiety::MatrixTile, moiety::ParamMatrix, moiety::StepState;

struct Rule {
  double momentum, weight_decay, eps;
  bool nesterov, match_rms;
};

struct Work {
  Rule rule;
  const StepState* step;
  const ParamMatrix* matrices;
  const MatrixTile* tiles;
  Cell cell;

  /// What is made orthogonal, from the momentum after this step's gradient.
  MOIETY_HD float direction(float momentum, float g) const {
    if (!rule.nesterov) return momentum;
    return momentum - (momentum - g) * static_cast<float>(1 - rule.momentum);
  }
};

/// The momentum, and the squares of the directions as they will be rounded.
struct Momentum {
  static constexpr int kSums = 1;
  Work work;
  double* partial;  // [tiles]
  MOIETY_HD void run(int64_t block, int64_t lane, int64_t lanes, double* sums) const {
    if (work.step->skip != 0) return;
    const MatrixTile tile = work.tiles[block];
    const ParamMatrix m = work.matrices[tile.matrix];
    const float factor = work.step->grad_factor;
    const auto fresh = static_cast<float>(1 - work.rule.momentum);
    double squares = 0;
    tile.each(m, lane, lanes, [&](int64_t, int64_t, int64_t i) {
      const float g = m.gradient(i) * factor;
      const float momentum = m.state[0][i] + (g - m.state[0][i]) * fresh;
      m.state[0][i] = momentum;
      const auto x = static_cast<double>(work.cell.rounded(work.direction(momentum, g)));
      squares += x * x;
    });
    sums[0] = squares;
  }
  MOIETY_HD void finish(int64_t block, const double* sums) const { partial[block] = sums[0]; }
};

struct Norm {
  Work work;
  float* norm;  // [matrices]
  MOIETY_HD void operator()(int64_t matrix, const double* squares) const {
    const float n = work.cell.rounded(static_cast<float>(sqrt(squares[0])));
    const auto least = static_cast<float>(work.rule.eps);
    norm[matrix] = n > least ? n : least;
  }
};

/// Where the matrices of one tensor lie in the buffer x [count, n, m].
struct Place {
  int64_t first_matrix, first_tile, n, m;
  bool turned;
  MOIETY_HD int64_t operator()(int64_t matrix, int64_t r, int64_t c) const {
    const int64_t row = turned ? c : r, column = turned ? r : c;
    return ((matrix - first_matrix) * n + row) * m + column;
  }
};

/// x = direction / norm.
struct Spread {
  static constexpr int kSums = 0;
  Work work;
  Place place;
  const float* norm;
  void* x;
  MOIETY_HD void run(int64_t block, int64_t lane, int64_t lanes, double*) const {
    const MatrixTile tile = work.tiles[place.first_tile + block];
    const ParamMatrix m = work.matrices[tile.matrix];
    const float factor = work.step->grad_factor, length = norm[tile.matrix];
    tile.each(m, lane, lanes, [&](int64_t r, int64_t c, int64_t i) {
      const float u = work.direction(m.state[0][i], m.gradient(i) * factor);
      work.cell.store(x, place(tile.matrix, r, c), work.cell.rounded(u) / length);
    });
  }
};

struct Update {
  static constexpr int kSums = 0;
  Work work;
  Place place;
  const void* x;
  MOIETY_HD void run(int64_t block, int64_t lane, int64_t lanes, double*) const {
    if (work.step->skip != 0) return;
    const MatrixTile tile = work.tiles[place.first_tile + block];
    const ParamMatrix m = work.matrices[tile.matrix];
    const auto in = static_cast<double>(m.rows), out = static_cast<double>(m.columns);
    const double adjust =
        work.rule.match_rms ? 0.2 * sqrt(in > out ? in : out) : sqrt(out > in ? out / in : 1.0);
    const double lr = static_cast<double>(work.step->lr) * static_cast<double>(m.lr_scale);
    const double decay = work.rule.weight_decay * static_cast<double>(m.decay_scale);
    const auto shrink = static_cast<float>(1 - lr * decay), rate = static_cast<float>(lr * adjust);
    tile.each(m, lane, lanes, [&](int64_t r, int64_t c, int64_t i) {
      m.set_weight(i, m.weight(i) * shrink - rate * work.cell.load(x, place(tile.matrix, r, c)));
    });
  }
};

}  // namespace muon
