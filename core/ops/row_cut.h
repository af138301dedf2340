// How a row of elements is cut into pieces of work.
#pragma once

#include <cstdint>

#include <moiety/exec.h>

namespace moiety::ops {

/// A thread's share of a row: the whole row on the CPU, a few neighbouring elements on CUDA. Work
/// item i is piece i % parts of row i / parts.
struct RowCut {
  int64_t width, size, parts;
  RowCut(const Exec& exec, int64_t row_width)
      : width(row_width),
        size(exec.is_cuda() ? 4 : (row_width > 0 ? row_width : 1)),
        parts((row_width + size - 1) / size) {}
  MOIETY_HD int64_t row(int64_t i) const { return i / parts; }
  MOIETY_HD int64_t begin(int64_t i) const { return i % parts * size; }
  MOIETY_HD int64_t end(int64_t i) const {
    const int64_t e = begin(i) + size;
    return e < width ? e : width;
  }
};

}  // namespace moiety::ops
