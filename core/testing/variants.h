// What the options of a component may be set to, and the checks of the options themselves.
#pragma once

#include "core/testing/subject.h"

namespace moiety::testing {

struct Variant {
  std::string name;    // "" = the defaults, else "k = 64"
  std::string option;  // that differs from the defaults
  OptionMap options;
};

/// The defaults (or examples), then every option at both ends of its range and with each choice.
std::vector<Variant> variants_of(const ComponentInfo& component);

/// `options`: the schema is sound, wrong values are refused by name, and an instance can be made of
/// every variant, or refuses it by name. Returns the variants to run the other checks with.
std::vector<Variant> check_options(PluginRegistry& plugins, const ComponentInfo& component,
                                   Report& report);

/// `lifetime`: instances come and go.
void check_lifetime(const Subject& subject, Report& report);

}  // namespace moiety::testing
