// Global names of parameters: "layers.3.moe.experts.w_in".
#pragma once

#include <string_view>

#include <moiety/export.h>

namespace moiety {

/// Whether a glob pattern (* and ?, as in a shell; * crosses dots) fits the whole name.
MOIETY_API bool name_matches(std::string_view pattern, std::string_view name);

}  // namespace moiety
