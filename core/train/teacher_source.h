// Which model an objective learns from, where its weights lie, and whether the student can.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <moiety/objective.h>
#include <moiety/teacher.h>

#include "core/config/run_config.h"
#include "core/plugin/registry.h"

namespace moiety {

struct TeacherSource {
  std::filesystem::path checkpoint;
  uint32_t manifest = 0;  // CRC-32 of the checkpoint's manifest: which weights these are
  RunConfig config;       // of its model, frozen whole, in the student's precision
  bool training = false;
};

/// What the objective asks for, or nullptr. Throws PluginError when it wants a teacher at some step
/// and names none.
MOIETY_API const TeacherRequest* teacher_request(const Objective& objective);

/// Finds the newest complete checkpoint of `request` (or takes `checkpoint`) and reads its
/// configuration. Throws ConfigError, with the place of objective.params.teacher and both shapes,
/// when there is none or the two models do not go together.
MOIETY_API TeacherSource
find_teacher(const RunConfig& student, const TeacherRequest& request, PluginRegistry& plugins,
             const std::optional<std::filesystem::path>& checkpoint = std::nullopt);

/// What a run would find out about its teacher at its start. Throws as find_teacher does.
MOIETY_API void check_teacher(const RunConfig& config, PluginRegistry& plugins);

}  // namespace moiety
