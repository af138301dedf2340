// Copies between pieces and slices.
#include "core/checkpoint/hf_slice.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/checkpoint/shapes.h"

namespace moiety::hf {

namespace {

/// Calls move(offset in the piece, offset in the slice) for every element, in squares that fit the
/// cache whichever way the piece lies.
template <class F>
void for_each_element(const Piece& piece, int64_t columns, int64_t first, const F& move) {
  constexpr int64_t kSquare = 32;
  const int64_t R = piece.rows(), C = piece.columns();
  for (int64_t r0 = 0; r0 < R; r0 += kSquare) {
    for (int64_t c0 = 0; c0 < C; c0 += kSquare) {
      for (int64_t r = r0; r < std::min(r0 + kSquare, R); ++r) {
        for (int64_t c = c0; c < std::min(c0 + kSquare, C); ++c) {
          move(piece.transposed ? c * R + r : r * C + c, r * columns + first + c);
        }
      }
    }
  }
}

template <class T>
void copy_in(const Piece& piece, const void* from, int64_t columns, int64_t first, void* to) {
  const T* a = static_cast<const T*>(from);
  T* b = static_cast<T*>(to);
  for_each_element(piece, columns, first, [&](int64_t i, int64_t j) { b[j] = a[i]; });
}

template <class T>
void copy_out(const Piece& piece, const void* from, int64_t columns, int64_t first, void* to) {
  const T* a = static_cast<const T*>(from);
  T* b = static_cast<T*>(to);
  for_each_element(piece, columns, first, [&](int64_t i, int64_t j) { b[i] = a[j]; });
}

}  // namespace

int64_t elements_of(const std::vector<Piece>& slice) {
  int64_t n = 0;
  for (const Piece& piece : slice) n += piece.elements();
  return n;
}

int64_t columns_of(const std::vector<Piece>& slice) {
  int64_t n = 0;
  for (const Piece& piece : slice) n += piece.columns();
  return n;
}

void check_binding(const Binding& binding) {
  int64_t expected = 1, found = 0;
  for (const int64_t size : binding.shape) expected *= size;
  for (const std::vector<Piece>& slice : binding.slices) {
    found += elements_of(slice);
    for (const Piece& piece : slice) {
      MOIETY_CHECK(piece.rows() == slice[0].rows(), "{}: {} has {} rows, {} has {}", binding.name,
                   slice[0].name, slice[0].rows(), piece.name, piece.rows());
    }
  }
  MOIETY_CHECK(found == expected, "{}: shape {}, but its pieces have {} elements", binding.name,
               shape_text(binding.shape), found);
}

void place(const Piece& piece, int64_t size, const uint8_t* from, int64_t columns, int64_t first,
           uint8_t* to) {
  if (size == 2) return copy_in<uint16_t>(piece, from, columns, first, to);
  MOIETY_CHECK(size == 4, "{}: elements of {} bytes", piece.name, size);
  copy_in<uint32_t>(piece, from, columns, first, to);
}

void take(const Piece& piece, int64_t size, const uint8_t* from, int64_t columns, int64_t first,
          uint8_t* to) {
  if (size == 2) return copy_out<uint16_t>(piece, from, columns, first, to);
  MOIETY_CHECK(size == 4, "{}: elements of {} bytes", piece.name, size);
  copy_out<uint32_t>(piece, from, columns, first, to);
}

}  // namespace moiety::hf
