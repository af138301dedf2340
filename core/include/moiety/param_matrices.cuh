// Parameters as the matrices that optimizers with norms, factors or products work on: a tensor's
// own, or each expert's ([L, K, J], and [L, K, P, J] for P matrices side by side). Vectors (biases,
// norms; [L, H] of experts) are matrices of one row.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <moiety/exec.h>
#include <moiety/weight_storage.cuh>

namespace moiety {

/// How a tensor is cut. Of a whole tensor's shape, so that it is the same on every rank.
struct MatrixShape {
  int64_t count = 1;  // experts; the local ones where a rank has a part
  int64_t beside = 1, rows = 1, columns = 1;
  bool is_matrix() const { return rows > 1 && columns > 1; }
};

inline MatrixShape matrix_shape(const std::vector<int64_t>& shape, bool expert) {
  switch (shape.size()) {
    case 2:
      if (expert) return {shape[0], 1, 1, shape[1]};
      return {1, 1, shape[0], shape[1]};
    case 3: return {shape[0], 1, shape[1], shape[2]};
    case 4: return {shape[0], shape[2], shape[1], shape[3]};
    default: return {1, 1, 1, shape.empty() ? 1 : shape[0]};
  }
}

/// One matrix. Element (r, c) is number r * pitch + c of its memory and of every state.
struct ParamMatrix {
  WeightMemory memory = {};
  float* state[2] = {};  // those that are shaped like the parameter
  int64_t first = 0;     // of the parameter's elements
  int64_t rows = 0, columns = 0, pitch = 0;
  int64_t first_tile = 0, tiles = 0;
  float lr_scale = 1, decay_scale = 1;

  MOIETY_HD float gradient(int64_t i) const { return memory.gradient(i); }
  MOIETY_HD float weight(int64_t i) const { return memory.weight(i); }
  MOIETY_HD void set_weight(int64_t i, float w) const { memory.set_weight(i, w); }
};

/// A part of one matrix: the work of one block.
struct MatrixTile {
  int64_t matrix = 0, row = 0, rows = 0, column = 0, columns = 0;

  /// f(row, column, element) for the pieces of one lane.
  template <class F>
  MOIETY_HD void each(const ParamMatrix& m, int64_t lane, int64_t lanes, const F& f) const {
    for (int64_t r = row; r < row + rows; ++r) {
      for (int64_t c = column + lane; c < column + columns; c += lanes) f(r, c, r * m.pitch + c);
    }
  }
};

/// The matrices of several parameters on the host, then on the device.
class ParamMatrices {
 public:
  /// Throws Error on a tensor that is cut, or a value of 16 bits without a master.
  void add(const ParamSlice& p) {
    const auto rank = static_cast<size_t>(p.value.rank);
    if (rank != p.info.shape.size()) {
      throw Error(p.info.name + ": the optimizer needs the whole tensor, got a part of it");
    }
    const std::vector<int64_t> local(p.value.shape.begin(),
                                     p.value.shape.begin() + static_cast<std::ptrdiff_t>(rank));
    const MatrixShape shape = matrix_shape(local, p.info.first_expert >= 0);
    const int64_t pitch = shape.beside * shape.columns;
    for (int64_t l = 0; l < shape.count; ++l) {
      for (int64_t s = 0; s < shape.beside; ++s) {
        append(p, shape, l * shape.rows * pitch + s * shape.columns, pitch);
      }
    }
  }
  void upload(Exec& exec) {
    device_ = copy(exec, matrices_);
    device_tiles_ = copy(exec, tiles_);
  }

  std::vector<ParamMatrix>& host() { return matrices_; }
  int64_t size() const { return static_cast<int64_t>(matrices_.size()); }
  int64_t tile_count() const { return static_cast<int64_t>(tiles_.size()); }
  const ParamMatrix* device() const { return device_; }
  const MatrixTile* tiles() const { return device_tiles_; }

  template <class T>
  static const T* copy(Exec& exec, const std::vector<T>& values) {
    if (values.empty()) return nullptr;
    return static_cast<const T*>(exec.upload(values.data(), values.size() * sizeof(T)));
  }

 private:
  static constexpr int64_t kTile = 16384;  // elements

  void append(const ParamSlice& p, const MatrixShape& shape, int64_t at, int64_t pitch) {
    ParamMatrix m;
    m.memory = WeightMemory(p, at);
    m.first = at;
    for (size_t k = 0; k < std::min<size_t>(p.state.size(), 2); ++k) {
      if (p.state[k].numel() == p.value.numel()) m.state[k] = p.state[k].data<float>() + at;
    }
    m.rows = shape.rows, m.columns = shape.columns, m.pitch = pitch;
    m.lr_scale = p.info.lr_scale, m.decay_scale = p.info.decay_scale;
    m.first_tile = tile_count();
    const int64_t width = std::clamp<int64_t>(m.columns, 1, kTile), height = kTile / width;
    for (int64_t r = 0; r < m.rows; r += height) {
      for (int64_t c = 0; c < m.columns; c += width) {
        tiles_.push_back(
            {size(), r, std::min(height, m.rows - r), c, std::min(width, m.columns - c)});
      }
    }
    m.tiles = tile_count() - m.first_tile;
    matrices_.push_back(m);
  }

  std::vector<ParamMatrix> matrices_;
  std::vector<MatrixTile> tiles_;
  const ParamMatrix* device_ = nullptr;
  const MatrixTile* device_tiles_ = nullptr;
};

/// Sums of a matrix's tiles: partial[tile * kCount + k] -> f(matrix, totals). For for_each_block
/// over matrices, after a pass over tiles that wrote `partial`.
template <int kCount, class F>
struct SumTiles {
  static constexpr int kSums = kCount;
  const ParamMatrix* matrices;
  const double* partial;
  F then;
  MOIETY_HD void run(int64_t matrix, int64_t lane, int64_t lanes, double* sums) const {
    const ParamMatrix& m = matrices[matrix];
    for (int64_t t = m.first_tile + lane; t < m.first_tile + m.tiles; t += lanes) {
      for (int k = 0; k < kCount; ++k) sums[k] += partial[t * kCount + k];
    }
  }
  MOIETY_HD void finish(int64_t matrix, const double* sums) const { then(matrix, sums); }
};

/// f64 [n] of scratch; there is no f64 among the dtypes, i64 has its size.
inline double* scratch_doubles(Exec& exec, int64_t n) {
  return reinterpret_cast<double*>(exec.scratch(DType::kI64, {n}).data<int64_t>());
}

}  // namespace moiety
