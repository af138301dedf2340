#include "core/testing/conformance.h"

#include <algorithm>

#include "core/plugin/loader.h"
#include "core/plugin/option_check.h"
#include "core/testing/parameters.h"
#include "core/testing/variants.h"

namespace moiety::testing {

namespace {

void check_kind(const Subject& subject, Report& report) {
  switch (subject.info.kind) {
    case ComponentKind::kGating: return check_gating(subject, report);
    case ComponentKind::kExpert: return check_expert(subject, report);
    case ComponentKind::kOptimizer: return check_optimizer(subject, report);
    case ComponentKind::kData: return check_data(subject, report);
    case ComponentKind::kObjective: return check_objective(subject, report);
  }
}

/// The component with `examples` in place of those that it declares. Throws ConfigError for a name
/// that is no required option.
ComponentInfo with_examples(ComponentInfo component, const OptionMap& examples) {
  for (const auto& [name, value] : examples) {
    const auto spec =
        std::find_if(component.schema.begin(), component.schema.end(),
                     [&, &n = name](const OptionSpec& s) { return s.required && s.name == n; });
    if (spec == component.schema.end()) {
      throw ConfigError(std::string(kind_name(component.kind)) + " '" + component.name +
                        "' has no required option '" + name + "'");
    }
    spec->fallback = coerce(*spec, value);
    if (const std::string problem = option_problem(*spec, spec->fallback); !problem.empty()) {
      throw ConfigError("example for '" + name + "': " + problem);
    }
  }
  return component;
}

}  // namespace

std::vector<Finding> check_component(PluginRegistry& plugins, const ComponentInfo& given,
                                     const CheckOptions& options) {
  const ComponentInfo component = with_examples(given, options.examples);
  const Devices devices(options.device);
  Report report(std::string(kind_name(component.kind)) + " " + component.name);
  const std::vector<Variant> variants = check_options(plugins, component, report);
  if (report.failed("options")) return report.take();
  for (const Variant& variant : variants) {
    report.begin_variant(variant.name);
    const bool defaults = variant.name.empty();
    const Subject subject{plugins, component, variant.options,
                          devices, defaults,  options.perf && defaults};
    check_declarations(subject, report);
    if (!report.failed("declarations")) check_kind(subject, report);
    if (defaults) check_lifetime(subject, report);
  }
  return report.take();
}

std::vector<Finding> check_library(PluginRegistry& plugins, const std::filesystem::path& file,
                                   const CheckOptions& options) {
  plugins.add_file(file);
  std::vector<Finding> findings;
  for (const LoadedComponent& component : load_library(file)->components) {
    for (Finding& f : check_component(plugins, component.info, options)) {
      findings.push_back(std::move(f));
    }
  }
  return findings;
}

}  // namespace moiety::testing
