// The kinds of component and what the core knows about each.
#pragma once

#include <array>
#include <cstdint>

#include "core/plugin/registry.h"

namespace moiety {

inline constexpr std::array kAllKinds = {ComponentKind::kGating, ComponentKind::kExpert,
                                         ComponentKind::kOptimizer, ComponentKind::kData,
                                         ComponentKind::kObjective};

/// The kInterface that this core was compiled with; a plugin must have the same.
MOIETY_API uint32_t interface_version(ComponentKind kind);
/// "moiety_gating_topk.so".
MOIETY_API std::string plugin_file_name(ComponentKind kind, std::string_view name);
/// Lower case letters, digits and _, a letter first, at most 64.
MOIETY_API bool is_component_name(std::string_view name);

}  // namespace moiety
