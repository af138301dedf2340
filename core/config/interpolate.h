// ${env:VAR}, ${env:VAR:-default} and ${path.to.key} in scalars.
#pragma once

#include <string>

#include "core/config/node.h"
#include "core/config/report.h"

namespace moiety::config {

/// Resolves every reference in the tree, once. A scalar that is one reference alone takes the
/// target's value and kind; inside other text the target must be a scalar. `$${` stands for `${`.
void interpolate(Node& root, Report& report);

/// The text that interpolation turns into `text`.
std::string escape_references(const std::string& text);

}  // namespace moiety::config
