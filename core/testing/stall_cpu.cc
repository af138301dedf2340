// Without CUDA there is no stream to hold up; the checks that would are skipped.
#include "core/testing/stall.h"

namespace moiety::testing {

struct Stall::Impl {};

Stall::Stall(const DeviceContext&) {}
Stall::~Stall() = default;
void Stall::release() {}

}  // namespace moiety::testing
