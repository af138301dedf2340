// One slice of a tensor put together from the pieces of the reference's file, and taken apart.
// Works on elements as they lie in memory, so that every bit survives.
#pragma once

#include <cstdint>
#include <vector>

#include "core/checkpoint/hf_mapping.h"

namespace moiety::hf {

/// Elements of a slice, and its columns.
int64_t elements_of(const std::vector<Piece>& slice);
int64_t columns_of(const std::vector<Piece>& slice);
/// Throws Error unless the pieces of every slice fill the tensor's shape.
void check_binding(const Binding& binding);

/// Writes `piece`, as it lies in the file, to its columns from `first` on of `to` [rows, columns].
/// `size` is the bytes of an element: 2 or 4.
void place(const Piece& piece, int64_t size, const uint8_t* from, int64_t columns, int64_t first,
           uint8_t* to);
/// The way back.
void take(const Piece& piece, int64_t size, const uint8_t* from, int64_t columns, int64_t first,
          uint8_t* to);

}  // namespace moiety::hf
