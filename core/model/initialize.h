// Initial values by counting: an element depends on (seed, name, its place in the whole tensor) and
// on nothing else, so every layout, device and number of threads starts from the same model.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <moiety/params.h>

namespace moiety {

struct InitialValues {
  uint64_t key = 0;  // see initial_key
  Init init = Init::kZeros;
  double scale = 1;    // deviation, or half the width of a uniform draw
  int64_t period = 0;  // > 0: element i draws as element i % period (identical experts)
};

MOIETY_API uint64_t initial_key(uint64_t seed, std::string_view name);
/// What the spec asks for; `init_std` and `layers` as in params.h.
MOIETY_API InitialValues initial_values(const ParamSpec& spec, uint64_t key, double init_std,
                                        int64_t layers);
/// Elements [begin, begin + out.size()) of the tensor.
MOIETY_API void draw(const InitialValues& values, int64_t begin, std::span<float> out);

}  // namespace moiety
