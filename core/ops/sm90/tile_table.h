// Which tile for which product, by measurement (bench/RESULTS.md); nothing is tuned at run time,
// and equal sizes give equal bits.
#pragma once

#include "core/ops/sm90/tile_shape.cuh"

namespace moiety::ops::sm90 {

/// Two blocks above each other share the columns' operand. The best of six, or within 6 % of it,
/// for every product that was measured, from 128 slots an expert to 2048.
using StackedTile = TileShape<128, 256, 2, 1>;
/// Two blocks side by side share the rows' operand, and each has the narrower one for itself: for
/// gradients that gather that one.
using TallTile = TileShape<256, 128, 1, 2>;

/// For bytes with scales: as wide as a block of w's, so that a tile has one scale a stage.
using ScaledTile = TileShape<128, 128, 2>;
inline constexpr int kGatedColumns = ScaledTile::kN / 2;  // that a gated tile takes from each half

}  // namespace moiety::ops::sm90
