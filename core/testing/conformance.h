// The conformance kit: what every plugin of a kind must do, as named checks. It drives components
// alone, through the core's own types. `moiety plugins check` prints what it finds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/plugin/registry.h"

namespace moiety::testing {

enum class Outcome : uint8_t { kPass, kFail, kSkip };

struct Finding {
  std::string component;  // "gating top1"
  std::string check;      // "gradient"
  Outcome outcome = Outcome::kPass;
  std::string detail;  // what is wrong, with which options; why it was skipped; or ""
};

struct CheckOptions {
  bool perf = false;  // adds findings `perf`: time of a call and bytes of scratch, never a failure
  /// "auto": on the CPU, and against CUDA where there is a GPU; "cpu": no CUDA; "cuda": every check
  /// on the GPU. Throws Error for another name and for "cuda" without a GPU.
  std::string device = "auto";
  /// Values for required options, in place of the plugin's examples: a file that is there, say.
  OptionMap examples = {};
};

/// Runs every check of its kind on every component of the library `file`: with its defaults and
/// with each option at both ends of its range. A check that has nothing to look at, or that stands
/// on one that failed, is reported as skipped, never as passed. Throws PluginError when the file
/// cannot be loaded.
MOIETY_API std::vector<Finding> check_library(PluginRegistry& plugins,
                                              const std::filesystem::path& file,
                                              const CheckOptions& options = {});

/// The same for one component.
MOIETY_API std::vector<Finding> check_component(PluginRegistry& plugins,
                                                const ComponentInfo& component,
                                                const CheckOptions& options = {});

}  // namespace moiety::testing
