// Calls a function that no library has.
#include "plain_objective.h"

extern "C" void moiety_function_of_the_future();

MOIETY_PLUGIN("undefined_symbol", "1.0.0") {
  moiety_function_of_the_future();
  plugin.add<PlainObjective>("undefined_symbol", "Does nothing");
}
