// Built for a core of another major version.
#include "plain_objective.h"

#undef MOIETY_ABI_MAJOR
#define MOIETY_ABI_MAJOR 2

MOIETY_PLUGIN("abi_newer", "1.0.0") { plugin.add<PlainObjective>("abi_newer", "Does nothing"); }
