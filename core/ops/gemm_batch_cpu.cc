#include "core/ops/gemm_batch_cpu.h"

#include <algorithm>
#include <memory>

#include "core/device/cpu_pool.h"
#include "core/device/exec_impl.h"
#include "core/ops/gemm_cpu.h"

namespace moiety::ops::cpu {

namespace {

int64_t rounded_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

Lanes rows_of_a(const Summand& s, int64_t m) {
  return {s.a, m, s.k, s.a_transposed ? 1 : s.a_pitch, s.a_transposed ? s.a_pitch : 1};
}

Lanes columns_of_b(const Summand& s, int64_t n) {
  return {s.b, n, s.k, s.b_transposed ? s.b_pitch : 1, s.b_transposed ? 1 : s.b_pitch};
}

}  // namespace

ProductBatch::ProductBatch(Exec& exec, const GemmKernel& kernel) : exec_(exec), kernel_(kernel) {}

size_t ProductBatch::packed(const Lanes& source) {
  const auto [place, is_new] = known_.try_emplace(source.at, packed_.size());
  if (!is_new && packed_[place->second].source == source) return place->second;
  const int64_t padded = rounded_up(source.lanes, kernel_.lanes);
  packed_.push_back({source, kernel_.columns(), padded,
                     exec_.scratch(DType::kF32, {padded * source.depth}).data<float>()});
  return packed_.size() - 1;
}

void ProductBatch::add(std::span<const Summand> summands, int64_t m, int64_t n, TensorView c,
                       int64_t row, bool accumulate) {
  if (m == 0 || n == 0) return;
  Output output{m, n, {}, c, row, accumulate};
  for (const Summand& s : summands) {
    if (s.k == 0) continue;
    output.terms.push_back({rows_of_a(s, m), packed(columns_of_b(s, n))});
  }
  if (output.terms.empty() && accumulate) return;
  outputs_.push_back(std::move(output));
}

void ProductBatch::pack_all() {
  constexpr int64_t kPiece = 1 << 15;  // elements that one worker packs at a time
  struct Piece {
    const Packed* to;
    int64_t from, depth, first, last;  // panels
  };
  std::vector<Piece> pieces;
  for (const Packed& p : packed_) {
    for (int64_t from = 0; from < p.source.depth; from += kPanelDepth) {
      const int64_t depth = std::min(kPanelDepth, p.source.depth - from);
      const int64_t panels = std::max<int64_t>(1, kPiece / (p.panel * depth));
      for (int64_t first = 0; first < p.panels(); first += panels) {
        pieces.push_back({&p, from, depth, first, std::min(p.panels(), first + panels)});
      }
    }
  }
  cpu_pool(exec_).run(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    const Piece& piece = pieces[static_cast<size_t>(i)];
    const Lanes& s = piece.to->source;
    for (int64_t p = piece.first; p < piece.last; ++p) {
      const int64_t lane = p * piece.to->panel, lanes = piece.to->lanes(p);
      kernel_.pack(s.at + lane * s.lane_stride + piece.from * s.depth_stride, s.lane_stride,
                   s.depth_stride, std::min(lanes, s.lanes - lane), lanes, piece.depth,
                   piece.to->at(piece.from, piece.depth, p));
    }
  });
}

void ProductBatch::cut(size_t output, std::vector<Tile>& tiles) const {
  // Tiles small enough to share among many cores; a block of a and one of b stay in the cache.
  constexpr int64_t kRows = 128, kColumns = 192, kWanted = 32;
  const Output& o = outputs_[output];
  const int64_t down = (o.m + kernel_.rows - 1) / kernel_.rows;
  const int64_t across = (o.n + kernel_.columns() - 1) / kernel_.columns();
  int64_t rows = std::max<int64_t>(1, kRows / kernel_.rows);
  int64_t columns = std::max<int64_t>(1, kColumns / kernel_.columns());
  const auto count = [&] { return (down + rows - 1) / rows * ((across + columns - 1) / columns); };
  while (count() < kWanted && rows > 4) rows /= 2;
  while (count() < kWanted && columns > 1) columns /= 2;
  for (int64_t r = 0; r < down; r += rows) {
    for (int64_t c = 0; c < across; c += columns) {
      tiles.push_back({output, r, std::min(rows, down - r), c, std::min(columns, across - c)});
    }
  }
}

void ProductBatch::multiply(const Output& o, const Tile& tile, float* c, int64_t pitch,
                            bool accumulate) const {
  // Steps of the depth so far apart find few places in the innermost cache: rows are copied first.
  constexpr int64_t kFarApart = 512;
  alignas(64) float copy[kPanelDepth * kMostRows];
  const int64_t width = kernel_.columns();
  for (const Term& term : o.terms) {
    const Lanes& a = term.a;
    const Packed& b = packed_[term.b];
    const int64_t last = b.panels() - 1, last_vectors = b.lanes(last) / kernel_.lanes;
    for (int64_t from = 0; from < a.depth; from += kPanelDepth, accumulate = true) {
      const int64_t depth = std::min(kPanelDepth, a.depth - from);
      for (int64_t i = 0; i < tile.row_panels; ++i) {
        const int64_t row = (tile.row_panel + i) * kernel_.rows;
        const int64_t height = std::min(kernel_.rows, o.m - row);
        KernelRows rows{a.at + row * a.lane_stride + from * a.depth_stride, a.lane_stride,
                        a.depth_stride};
        if (a.lane_stride == 1 && a.depth_stride >= kFarApart) {
          kernel_.pack(rows.at, 1, rows.depth_stride, height, kernel_.rows, depth, copy);
          rows = {copy, 1, kernel_.rows};
        }
        for (int64_t j = 0; j < tile.column_panels; ++j) {
          const int64_t column = tile.column_panel + j;
          kernel_.multiply(column < last ? kernel_.vectors : last_vectors, rows,
                           b.at(from, depth, column), depth, height,
                           std::min(width, o.n - column * width),
                           c + i * kernel_.rows * pitch + j * width, pitch, accumulate);
        }
      }
    }
  }
}

void ProductBatch::compute(const Tile& tile) const {
  const Output& o = outputs_[tile.output];
  const int64_t row = tile.row_panel * kernel_.rows, column = tile.column_panel * kernel_.columns();
  const int64_t rows = std::min(tile.row_panels * kernel_.rows, o.m - row);
  const int64_t columns = std::min(tile.column_panels * kernel_.columns(), o.n - column);
  if (o.c.dtype == DType::kF32 && !o.terms.empty()) {
    const Rows<float> out = o.c.rows<float>();
    return multiply(o, tile, out[o.row + row] + column, out.pitch, o.accumulate);
  }
  const auto sums = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(rows * columns));
  if (o.terms.empty()) std::fill_n(sums.get(), rows * columns, 0.f);
  multiply(o, tile, sums.get(), columns, /*accumulate=*/false);
  store_tile(sums.get(), rows, columns, o.c, o.row + row, column, o.accumulate);
}

void ProductBatch::run() {
  pack_all();
  std::vector<Tile> tiles;
  for (size_t i = 0; i < outputs_.size(); ++i) cut(i, tiles);
  cpu_pool(exec_).run(static_cast<int64_t>(tiles.size()),
                      [&](int64_t i) { compute(tiles[static_cast<size_t>(i)]); });
}

}  // namespace moiety::ops::cpu
