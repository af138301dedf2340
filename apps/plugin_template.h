// The files of examples/acme_gating, embedded by the build.
#pragma once

#include <span>
#include <string_view>
#include <utility>

namespace moiety::apps {

/// Pairs of file name and text.
std::span<const std::pair<std::string_view, std::string_view>> plugin_template();

}  // namespace moiety::apps
