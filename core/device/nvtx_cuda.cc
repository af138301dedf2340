#include <nvtx3/nvToolsExt.h>

#include "core/device/nvtx.h"

namespace moiety {

void nvtx_push(const char* name) { nvtxRangePushA(name); }
void nvtx_pop() { nvtxRangePop(); }

}  // namespace moiety
