// RunConfig -> the complete file it can be read from again.
#pragma once

#include "core/config/draft.h"

namespace moiety::config {

/// Fills resolved_yaml and provenance.
void write_resolved(Draft& draft);

}  // namespace moiety::config
