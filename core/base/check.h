// Checks whose message a user may read. fmt format strings; not for .cu files (see check.cuh).
#pragma once

#include <fmt/format.h>

#include <moiety/error.h>

/// Throws moiety::Error with the formatted text unless `condition` holds.
#define MOIETY_CHECK(condition, ...)                                     \
  do {                                                                   \
    if (!(condition)) throw ::moiety::Error(::fmt::format(__VA_ARGS__)); \
  } while (false)
