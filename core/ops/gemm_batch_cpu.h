// Products on the CPU, many at once over the thread pool: right operands are packed into panels
// first, each once, then tiles are computed; left ones are read where they lie. The cut depends on
// the sizes alone, never on the threads.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include <moiety/exec.h>

#include "core/ops/gemm_kernel.h"

namespace moiety::ops::cpu {

/// f32 numbers as a matrix [lanes, depth]; one of the strides is 1.
struct Lanes {
  const float* at = nullptr;
  int64_t lanes = 0, depth = 0;
  int64_t lane_stride = 0, depth_stride = 0;
  bool operator==(const Lanes&) const = default;
};

/// op(a) op(b): a [m, k], or [k, m] transposed; b [k, n], or [n, k] transposed. Pitches in
/// elements.
struct Summand {
  const float* a = nullptr;
  int64_t a_pitch = 0;
  bool a_transposed = false;
  const float* b = nullptr;
  int64_t b_pitch = 0;
  bool b_transposed = false;
  int64_t k = 0;
};

class MOIETY_API ProductBatch {
 public:
  explicit ProductBatch(Exec& exec, const GemmKernel& kernel = widest_kernel());
  /// Rows [row, row + m) of the matrix c [.., n] (f32, bf16 or f16) = (or +=) the sum of the
  /// summands, in their order. Operands live until run().
  void add(std::span<const Summand> summands, int64_t m, int64_t n, TensorView c, int64_t row,
           bool accumulate);
  /// Computes all that was added. Packed operands lie in scratch memory.
  void run();

 private:
  struct Packed {
    Lanes source;
    int64_t panel;   // lanes of a panel; the last one of b may be narrower
    int64_t padded;  // lanes of all panels
    int64_t panels() const { return (padded + panel - 1) / panel; }
    int64_t lanes(int64_t p) const { return p + 1 < panels() ? panel : padded - p * panel; }
    float* memory;
    float* at(int64_t from, int64_t depth, int64_t p) const {
      return memory + from * padded + p * panel * depth;
    }
  };
  struct Term {
    Lanes a;
    size_t b;  // of packed_
  };
  struct Output {
    int64_t m, n;
    std::vector<Term> terms;
    TensorView c;
    int64_t row;
    bool accumulate;
  };
  struct Tile {
    size_t output;
    int64_t row_panel, row_panels, column_panel, column_panels;
  };

  size_t packed(const Lanes& source);
  void pack_all();
  void cut(size_t output, std::vector<Tile>& tiles) const;
  void compute(const Tile& tile) const;
  void multiply(const Output& output, const Tile& tile, float* c, int64_t pitch,
                bool accumulate) const;

  Exec& exec_;
  const GemmKernel& kernel_;
  std::vector<Packed> packed_;
  std::map<const float*, size_t> known_;  // operands that products share
  std::vector<Output> outputs_;
};

}  // namespace moiety::ops::cpu
