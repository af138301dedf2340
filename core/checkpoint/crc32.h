// CRC-32 as zlib computes it, so that a script can check a data set with zlib.crc32.
#pragma once

#include <cstddef>
#include <cstdint>

#include <moiety/export.h>

namespace moiety {

/// Continues `crc` (0 to begin) over `bytes` of data.
MOIETY_API uint32_t crc32(const void* data, size_t bytes, uint32_t crc = 0);

}  // namespace moiety
