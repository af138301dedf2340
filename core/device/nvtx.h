// Ranges that Nsight shows beside the kernels; nothing where no profiler is attached. In builds
// with CUDA alone (kCuda).
#pragma once

namespace moiety {

void nvtx_push(const char* name);
void nvtx_pop();

}  // namespace moiety
