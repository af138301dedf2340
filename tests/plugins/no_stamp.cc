// Has the entry, but not the stamp.
#include "plain_objective.h"

MOIETY_PLUGIN_EXPORT void moiety_plugin_entry(moiety::PluginBuilder* plugin) {
  plugin->add<PlainObjective>("no_stamp", "Does nothing");
}
