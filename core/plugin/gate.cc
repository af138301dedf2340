// Adds to an exception where it happened.
#include "core/plugin/gate.h"

#include <fmt/format.h>

#include <moiety/error.h>

namespace moiety {

void rethrow_in_plugin(const std::string& who, const char* call, int64_t layer, int64_t step) {
  std::string what;
  try {
    throw;
  } catch (const PluginError&) {
    throw;  // an inner gate has said where
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
    what = "threw something that is not a std::exception";
  }
  std::string where;
  if (layer >= 0) where = fmt::format("layer {}", layer);
  if (step >= 0) where += fmt::format("{}step {}", where.empty() ? "" : ", ", step);
  if (!where.empty()) where = " (" + where + ")";
  throw PluginError(fmt::format("{} failed in {}{}: {}", who, call, where, what));
}

}  // namespace moiety
