// Says that it was built with a sanitizer that the core never has (no g++ offers msan).
#include "plain_objective.h"

#undef MOIETY_SANITIZER_
#define MOIETY_SANITIZER_ "msan"

MOIETY_PLUGIN("other_sanitizer", "1.0.0") {
  plugin.add<PlainObjective>("other_sanitizer", "Does nothing");
}
