// A plugin with nothing wrong, and with two components.
#define MOIETY_PLUGIN_LICENSE "Apache-2.0"
#include "plain_objective.h"

MOIETY_PLUGIN("plain", "1.2.3") {
  plugin.add<PlainObjective>("plain", "Does nothing");
  plugin.add<PlainObjective>("plain_too", "Does nothing either");
}
