// Adds to an exception where it happened.
#include "core/plugin/gate.h"

#include <fmt/format.h>

#include <moiety/error.h>

#include "core/base/out_of_memory.h"

namespace moiety {

void rethrow_in_plugin(const std::string& who, const char* call, int64_t layer) {
  std::string what;
  bool config = false, memory = false;
  try {
    throw;
  } catch (const PluginError&) {
    throw;  // an inner gate has said where
  } catch (const ConfigError& e) {
    what = e.what();
    config = true;
  } catch (const OutOfMemory& e) {
    what = e.what();
    memory = true;
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
    what = "threw something that is not a std::exception";
  }
  const std::string where = layer >= 0 ? fmt::format(" (layer {})", layer) : "";
  if (memory) throw OutOfMemory(fmt::format("{}{}: {}", who, where, what));
  if (config) throw ConfigError(fmt::format("{}{}: {}", who, where, what));
  throw PluginError(fmt::format("{} failed in {}{}: {}", who, call, where, what));
}

}  // namespace moiety
