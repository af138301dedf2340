// Throws while it registers.
#include "plain_objective.h"

MOIETY_PLUGIN("throws_in_entry", "1.0.0") {
  plugin.add<PlainObjective>("throws_in_entry", "Does nothing");
  throw moiety::Error("no licence found");
}
