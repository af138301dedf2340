// The passes of an Adafactor step over all matrices at once.
#pragma once

#include <cmath>
#include <cstdint>

#include <moiety/blocks.cuh>
#include <moiety/param_matrices.cuh>

namespace adafactor {

using moiety::MatrixTile, moiety::ParamMatrix, moiety::StepState;

inline constexpr int64_t kColumns = moiety::kBlockLanes;  // of a block of ColumnFactors

struct Rule {
  double eps1, eps2, clip, decay_rate, beta1, weight_decay;
  bool scale_parameter, relative_step;
};

/// The state of one matrix: row and column, or variance for a vector.
struct Factors {
  float *row = nullptr, *column = nullptr, *variance = nullptr, *momentum = nullptr;
  int64_t first_row = 0, first_column_block = 0;  // among those of all matrices
};

struct Work {
  Rule rule;
  const StepState* step;
  const ParamMatrix* matrices;
  const MatrixTile* tiles;
  const Factors* factors;
  int64_t count;
  const float* mean;  // [matrices]: of the row factors

  /// 1 - beta2 of this step.
  MOIETY_HD double fresh() const {
    return pow(static_cast<double>(step->update), -rule.decay_rate);
  }
  MOIETY_HD double squared(float g) const {
    const auto x = static_cast<double>(g * step->grad_factor);
    return x * x + rule.eps1;
  }
  MOIETY_HD float mixed(float old, double now) const {
    const double share = fresh();
    return static_cast<float>((1 - share) * static_cast<double>(old) + share * now);
  }
  /// The last matrix whose `first` is not above n, which is below the number of all: vectors have
  /// none, so they share the first of the matrix that follows, and the search ends behind them.
  MOIETY_HD int64_t find(int64_t n, int64_t Factors::*first) const {
    int64_t low = 0, high = count - 1;
    while (low < high) {
      const int64_t middle = (low + high + 1) / 2;
      if (factors[middle].*first <= n) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }
  /// g / sqrt(variance), the row's mean and the column's making up the variance.
  MOIETY_HD float update(const ParamMatrix& m, const Factors& f, float mean_row, int64_t r,
                         int64_t c, int64_t i) const {
    const float g = m.gradient(i) * step->grad_factor;
    if (f.row == nullptr) return g / sqrtf(f.variance[i]);
    return g / sqrtf(f.row[r] / mean_row * f.column[c]);
  }
};

struct RowFactors {
  static constexpr int kSums = 1;
  Work work;
  MOIETY_HD void run(int64_t block, int64_t lane, int64_t lanes, double* sums) const {
    const int64_t n = work.find(block, &Factors::first_row);
    const ParamMatrix m = work.matrices[n];
    const int64_t row = (block - work.factors[n].first_row) * m.pitch;
    for (int64_t c = lane; c < m.columns; c += lanes) {
      sums[0] += work.squared(m.gradient(row + c));
    }
  }
  MOIETY_HD void finish(int64_t block, const double* sums) const {
    if (work.step->skip != 0) return;
    const int64_t n = work.find(block, &Factors::first_row);
    float& row = work.factors[n].row[block - work.factors[n].first_row];
    row = work.mixed(row, sums[0] / static_cast<double>(work.matrices[n].columns));
  }
};

struct ColumnFactors {
  static constexpr int kSums = 0;
  Work work;
  MOIETY_HD void run(int64_t block, int64_t lane, int64_t lanes, double*) const {
    if (work.step->skip != 0) return;
    const int64_t n = work.find(block, &Factors::first_column_block);
    const ParamMatrix m = work.matrices[n];
    float* column = work.factors[n].column;
    const int64_t begin = (block - work.factors[n].first_column_block) * kColumns;
    const int64_t end = begin + kColumns < m.columns ? begin + kColumns : m.columns;
    const auto rows = static_cast<double>(m.rows);
#if defined(__CUDA_ARCH__)
    for (int64_t c = begin + lane; c < end; c += lanes) {
      double sum = 0;
      for (int64_t r = 0; r < m.rows; ++r) sum += work.squared(m.gradient(r * m.pitch + c));
      column[c] = work.mixed(column[c], sum / rows);
    }
#else
    double sums[kColumns] = {};  // row by row, as they lie
    for (int64_t r = 0; r < m.rows; ++r) {
      for (int64_t c = begin + lane; c < end; c += lanes) {
        sums[c - begin] += work.squared(m.gradient(r * m.pitch + c));
      }
    }
    for (int64_t c = begin + lane; c < end; c += lanes) {
      column[c] = work.mixed(column[c], sums[c - begin] / rows);
    }
#endif
  }
};

struct RowMean {
  static constexpr int kSums = 1;
  Work work;
  float* mean;
  MOIETY_HD void run(int64_t block, int64_t lane, int64_t lanes, double* sums) const {
    const float* row = work.factors[block].row;
    if (row == nullptr) return;
    const int64_t rows = work.matrices[block].rows;
    for (int64_t r = lane; r < rows; r += lanes) sums[0] += static_cast<double>(row[r]);
  }
  MOIETY_HD void finish(int64_t block, const double* sums) const {
    mean[block] = static_cast<float>(sums[0] / static_cast<double>(work.matrices[block].rows));
  }
};

/// The variance of vectors; the squares of the weights and of their updates.
struct Sizes {
  static constexpr int kSums = 2;
  Work work;
  double* partial;  // [tiles, 2]
  MOIETY_HD void run(int64_t block, int64_t lane, int64_t lanes, double* sums) const {
    if (work.step->skip != 0) return;
    const MatrixTile tile = work.tiles[block];
    const ParamMatrix m = work.matrices[tile.matrix];
    const Factors f = work.factors[tile.matrix];
    const float mean = work.mean[tile.matrix];
    double weights = 0, updates = 0;
    tile.each(m, lane, lanes, [&](int64_t r, int64_t c, int64_t i) {
      if (f.row == nullptr) f.variance[i] = work.mixed(f.variance[i], work.squared(m.gradient(i)));
      const auto u = static_cast<double>(work.update(m, f, mean, r, c, i));
      const auto w = static_cast<double>(m.weight(i));
      weights += w * w;
      updates += u * u;
    });
    sums[0] = weights;
    sums[1] = updates;
  }
  MOIETY_HD void finish(int64_t block, const double* sums) const {
    partial[2 * block] = sums[0];
    partial[2 * block + 1] = sums[1];
  }
};

/// What an update is multiplied with: rho * max(eps2, RMS(w)) / max(1, RMS(u) / clip).
struct Rate {
  Work work;
  float* rate;  // [matrices]
  MOIETY_HD void operator()(int64_t matrix, const double* squares) const {
    const ParamMatrix& m = work.matrices[matrix];
    const double size = static_cast<double>(m.rows) * static_cast<double>(m.columns);
    double rho = static_cast<double>(work.step->lr);
    if (work.rule.relative_step) {
      const double most = 1 / sqrt(static_cast<double>(work.step->update));
      rho = rho < most ? rho : most;
    }
    rho *= static_cast<double>(m.lr_scale);
    if (work.rule.scale_parameter) {
      const double rms = sqrt(squares[0] / size);
      rho *= rms > work.rule.eps2 ? rms : work.rule.eps2;
    }
    const double over = sqrt(squares[1] / size) / work.rule.clip;
    rate[matrix] = static_cast<float>(over > 1 ? rho / over : rho);
  }
};

struct Update {
  static constexpr int kSums = 0;
  Work work;
  const float* rate;
  MOIETY_HD void run(int64_t block, int64_t lane, int64_t lanes, double*) const {
    if (work.step->skip != 0) return;
    const MatrixTile tile = work.tiles[block];
    const ParamMatrix m = work.matrices[tile.matrix];
    const Factors f = work.factors[tile.matrix];
    const float mean = work.mean[tile.matrix], factor = rate[tile.matrix];
    const auto keep = static_cast<float>(work.rule.beta1);
    const double decay = work.rule.weight_decay * static_cast<double>(m.decay_scale);
    const double lr = static_cast<double>(work.step->lr) * static_cast<double>(m.lr_scale);
    const auto shrink = static_cast<float>(1 - lr * decay);
    tile.each(m, lane, lanes, [&](int64_t r, int64_t c, int64_t i) {
      float u = factor * work.update(m, f, mean, r, c, i);
      if (f.momentum != nullptr) u = f.momentum[i] = keep * f.momentum[i] + (1 - keep) * u;
      m.set_weight(i, m.weight(i) * shrink - u);
    });
  }
};

}  // namespace adafactor
