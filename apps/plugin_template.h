// The projects of examples/acme_<kind>, embedded by the build.
#pragma once

#include <span>
#include <string_view>
#include <utility>

namespace moiety::apps {

/// Pairs of file name ("acme_gating/CMakeLists.txt") and text.
std::span<const std::pair<std::string_view, std::string_view>> embedded_files();

}  // namespace moiety::apps
