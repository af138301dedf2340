// The error of a device that has no room for what was asked: neither a plugin's fault nor a bug.
#pragma once

#include <moiety/error.h>

namespace moiety {

class MOIETY_API OutOfMemory : public Error {
 public:
  using Error::Error;
};

}  // namespace moiety
