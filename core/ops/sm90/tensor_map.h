// Descriptions of matrices for the copy engine, made on the host for each launch.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "core/ops/sm90/grouped_problem.h"

namespace moiety::ops::sm90 {

/// `slices` matrices, each directly after the other. A box holds 128 bytes, swizzled, of `box_rows`
/// rows of one slice. Needs 16-byte addresses and pitches.
CUtensorMap tensor_map(const Matrix& matrix, int64_t slices, Number number, int box_rows);

}  // namespace moiety::ops::sm90
