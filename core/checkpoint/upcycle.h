// Experts out of a dense feed-forward layer: sparse upcycling (Komatsuzaki et al., 2023,
// arXiv:2212.05055), and its fine-grained form with slices (He et al., 2024, arXiv:2410.07524).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <moiety/export.h>

namespace moiety {

/// How a dense layer of width `dense_hidden` becomes `experts` experts of width `hidden`: expert e
/// is slice e % granularity of the dense layer.
struct Upcycling {
  int64_t experts = 1, dense_hidden = 1, hidden = 1;
  double noise = 0;  // deviation of the noise, relative to that of the weights
  int64_t granularity() const { return dense_hidden / hidden; }
};

/// Throws Error where the widths or numbers do not divide evenly. `layer` is for the message.
MOIETY_API void check_upcycling(const Upcycling& upcycling, int64_t layer);

/// One tensor of all experts, [experts, ...], from the dense layer's. `name` is that of an expert
/// function: w_in [D, H] or [D, 2, H], b_in [H], w_out [H, D], b_out [D]; other names throw Error.
/// w_out is multiplied by the granularity: a token that goes to all slices of a copy, with equal
/// weights whose sum is p, then gets p times the dense output. `noise_key` seeds the noise.
MOIETY_API std::vector<float> upcycled(const Upcycling& upcycling, const std::string& name,
                                       const std::vector<float>& dense, uint64_t noise_key);

/// The router [D, experts] with one column for all slices of a copy: their probabilities are equal,
/// so that the best k = granularity * n choices are n whole copies.
MOIETY_API std::vector<float> grouped_router(const Upcycling& upcycling, std::vector<float> router);

}  // namespace moiety
