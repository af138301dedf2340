// The gate around every call of a component: an exception that leaves a plugin gains the words that
// say where it happened.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <moiety/component.h>

namespace moiety {

/// "gating 'acme' 0.3" for what a PluginRegistry created (also after a cast), else "a component".
MOIETY_API std::string describe(const std::shared_ptr<const Component>& component);

/// Call it inside a catch block. Throws PluginError "<who> failed in <call> (layer L): <what>"; a
/// PluginError passes as it is, a ConfigError or an OutOfMemory (not the plugin's doing) as one of
/// its own kind, "<who> (layer L): <what>". A negative layer is left out. The trainer adds the
/// step.
[[noreturn]] MOIETY_API void rethrow_in_plugin(const std::string& who, const char* call,
                                               int64_t layer);

/// Returns f(). `who` is describe(component), kept by the caller.
///   in_plugin(gate_name_, "forward", layer_, [&] { gate_->forward(...); });
template <class F>
decltype(auto) in_plugin(const std::string& who, const char* call, int64_t layer, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (...) {
    rethrow_in_plugin(who, call, layer);
  }
}

/// The same for a component of known kind and name, whose version is not at hand.
template <class F>
decltype(auto) in_plugin(const char* kind, std::string_view name, const char* call, int64_t layer,
                         F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (...) {
    rethrow_in_plugin(std::string(kind) + " '" + std::string(name) + "'", call, layer);
  }
}

}  // namespace moiety
