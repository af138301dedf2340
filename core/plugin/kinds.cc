// Names, file names and interface numbers of the kinds.
#include "core/plugin/kinds.h"

#include <moiety/data_source.h>
#include <moiety/expert_type.h>
#include <moiety/gating_policy.h>
#include <moiety/objective.h>
#include <moiety/optimizer.h>

#include <algorithm>

namespace moiety {

const char* kind_name(ComponentKind kind) {
  switch (kind) {
    case ComponentKind::kGating: return "gating";
    case ComponentKind::kExpert: return "expert";
    case ComponentKind::kOptimizer: return "optimizer";
    case ComponentKind::kData: return "data";
    case ComponentKind::kObjective: return "objective";
  }
  return "unknown";  // a descriptor of another core may hold any number
}

std::optional<ComponentKind> kind_from_name(std::string_view name) {
  for (const ComponentKind kind : kAllKinds) {
    if (name == kind_name(kind)) return kind;
  }
  return std::nullopt;
}

uint32_t interface_version(ComponentKind kind) {
  switch (kind) {
    case ComponentKind::kGating: return GatingPolicy::kInterface;
    case ComponentKind::kExpert: return ExpertType::kInterface;
    case ComponentKind::kOptimizer: return Optimizer::kInterface;
    case ComponentKind::kData: return DataSource::kInterface;
    case ComponentKind::kObjective: return Objective::kInterface;
  }
  return 0;
}

std::string plugin_file_name(ComponentKind kind, std::string_view name) {
  return std::string("moiety_") + kind_name(kind) + "_" + std::string(name) + ".so";
}

bool is_component_name(std::string_view name) {
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  return !name.empty() && name.size() <= 64 && lower(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return lower(c) || (c >= '0' && c <= '9') || c == '_'; });
}

}  // namespace moiety
