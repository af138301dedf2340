// Shapes as text and transposes on the host.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <moiety/export.h>

namespace moiety {

/// "[8, 32, 64]"
MOIETY_API std::string shape_text(const std::vector<int64_t>& shape);

/// [rows, columns] -> [columns, rows].
MOIETY_API std::vector<float> transposed(const std::vector<float>& matrix, int64_t rows,
                                         int64_t columns);

}  // namespace moiety
