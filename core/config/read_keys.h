// The tree against the declarations of keys.h.
#pragma once

#include <string>

#include "core/config/draft.h"
#include "core/config/keys.h"

namespace moiety::config {

/// Stores plain values, records where components and gate options stand, reports unknown keys,
/// wrong values and features that are not there. `root` must outlive the draft.
void read_keys(const Node& root, Draft& draft);

/// Whether a value switches a kLater key off: null, false, {}, {enabled: false}, {device: none} and
/// what the key names itself.
bool is_off(const Node& node, const Key& key);

/// What is said when a kLater key is used: "needs X, which this version does not have".
std::string later_text(const Key& key);

}  // namespace moiety::config
