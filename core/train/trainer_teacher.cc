// The teacher of a run: found at the start, remembered for a resumption, dropped when the objective
// has no more use for it.
#include <fmt/format.h>

#include "core/base/files.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/strings.h"
#include "core/train/teacher.h"
#include "core/train/trainer.h"

namespace moiety {

namespace {

/// teacher.json of the run directory: which weights the run learns from. A resumed run takes the
/// same ones, whatever its teacher's run has saved since.
TeacherSource remembered_teacher(const RunConfig& config, const TeacherRequest& request,
                                 const std::filesystem::path& memo, PluginRegistry& plugins) {
  if (std::filesystem::is_regular_file(memo)) {
    const Json was = Json::parse(read_file(memo));
    if (was.at("teacher").string() == request.source) {
      TeacherSource teacher = find_teacher(config, request, plugins, was.at("checkpoint").string());
      if (teacher.manifest == was.at("manifest_crc32").integer()) return teacher;
      throw ConfigError(fmt::format(
          "{}: the teacher's weights are not those that this run began with (manifest CRC-32 "
          "{:08x}, {} says {:08x}); bring the old file back, or delete {} to go on with the new "
          "one",
          teacher.checkpoint.string(), teacher.manifest, memo.string(),
          was.at("manifest_crc32").integer(), memo.string()));
    }
  }
  TeacherSource teacher = find_teacher(config, request, plugins);
  const Json now = Json::Object{{"teacher", request.source},
                                {"checkpoint", teacher.checkpoint.string()},
                                {"manifest_crc32", static_cast<int64_t>(teacher.manifest)}};
  replace_file(memo, now.dump(2) + "\n");
  return teacher;
}

}  // namespace

bool Trainer::update_teacher() {
  const bool wanted = session_.objective->wants_teacher(step_);
  if (wanted == (teacher_ != nullptr)) return false;
  if (wanted) {
    const TeacherRequest* request = teacher_request(*session_.objective);
    if (request == nullptr) {
      throw PluginError(
          fmt::format("objective '{}' wants a teacher and has no facet '{}' that says which",
                      config_.objective.type, kTeacherFacet));
    }
    const TeacherSource source =
        remembered_teacher(config_, *request, directory_.path() / "teacher.json", registry_);
    teacher_ = std::make_unique<Teacher>(source, config_.run.seed, registry_, *session_.context);
    runner_.set_teacher(teacher_.get());
    log::info("teacher     " + teacher_->description());
    return true;
  }
  const size_t before = session_.context->bytes_in_use();
  runner_.set_teacher(nullptr);
  teacher_.reset();
  say(fmt::format("step {}: the objective wants no teacher from here on; {} are free again", step_,
                  short_bytes(static_cast<double>(before - session_.context->bytes_in_use()))));
  return true;
}

}  // namespace moiety
