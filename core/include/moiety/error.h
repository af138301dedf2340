// Everything the framework throws. The message says where, what was expected and what to do.
#pragma once

#include <stdexcept>

#include <moiety/export.h>

namespace moiety {

/// A failure while running (exit code 4).
class MOIETY_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~Error() override;  // out of line: one vtable and one type_info, in libmoiety_core
};

/// The user's configuration or arguments are wrong (exit code 2).
class MOIETY_API ConfigError : public Error {
 public:
  using Error::Error;
  ~ConfigError() override;
};

/// A plugin library cannot be used, or failed (exit code 3).
class MOIETY_API PluginError : public Error {
 public:
  using Error::Error;
  ~PluginError() override;
};

}  // namespace moiety
