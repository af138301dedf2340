// Rules between keys. Each error shows its arithmetic.
#pragma once

#include "core/config/draft.h"

namespace moiety::config {

/// DeepSpeed's batch triangle: train = micro * accumulation * ranks, any two (or one) given.
void resolve_batch(Draft& draft);
void check_model(Draft& draft);
/// fp16, bf16 and ZeRO.
void check_precision(Draft& draft);
/// The files of moe.router.
void check_recordings(Draft& draft);
/// What is allowed but probably not meant.
void add_warnings(Draft& draft);

}  // namespace moiety::config
