#include "core/train/teacher_source.h"

#include <fmt/format.h>

#include "core/checkpoint/checkpoint.h"
#include "core/config/load.h"
#include "core/train/session.h"

namespace moiety {

namespace {

namespace fs = std::filesystem;

constexpr const char* kOption = "objective.params.teacher";
constexpr const char* kConfigOption = "objective.params.teacher_config";

/// An error of the configuration at the option that names the teacher.
[[noreturn]] void refuse(const RunConfig& student, const std::string& problem,
                         const char* option = kOption) {
  std::string where;
  for (const Provenance& p : student.provenance) {
    if (p.path == option) where = p.source + ": ";
  }
  throw ConfigError(fmt::format("{}{}: {}", where, option, problem));
}

std::string shape_text(const ModelConfig& m) {
  return fmt::format("{}, {} layers of width {}, vocab_size {}, sequence_length {}", m.type,
                     m.layers, m.hidden, m.vocab_size, m.sequence_length);
}

/// Both shapes, and what is wrong with them.
void check_pair(const RunConfig& student, const ModelConfig& teacher, const fs::path& source) {
  const ModelConfig& own = student.model;
  std::string problem, cure;
  if (teacher.type != own.type) {
    problem = fmt::format("a {} cannot teach a {}", teacher.type, own.type);
    cure = "both need the same model.type";
  } else if (teacher.vocab_size != own.vocab_size) {
    problem = fmt::format("its vocabulary is another one: {} ids, the student has {}",
                          teacher.vocab_size, own.vocab_size);
    cure = "both need the same tokens and model.vocab_size";
  } else if (teacher.sequence_length < own.sequence_length) {
    problem = fmt::format("it reads sequences of {} tokens, the student's have {}",
                          teacher.sequence_length, own.sequence_length);
    cure = fmt::format("set model.sequence_length={} or train the teacher on longer ones",
                       teacher.sequence_length);
  } else if (teacher.image != own.image) {
    problem = "its images have another shape";
    cure = "both need the same model.image";
  } else {
    return;
  }
  refuse(student, fmt::format("{}; {}\n  teacher: {} ({})\n  student: {}", problem, cure,
                              shape_text(teacher), source.string(), shape_text(own)));
}

struct Found {
  fs::path file;
  CheckpointInfo info;
};

Found newest_checkpoint(const RunConfig& student, const fs::path& run) {
  std::string why;
  const auto file = CheckpointFolder::below(run).newest_valid(
      [&](const fs::path& broken, const std::string& text) {
        if (why.empty()) why = fmt::format("\n  {}: {}", broken.string(), text);
      });
  if (file) return {*file, read_checkpoint_info(*file)};
  refuse(student, fmt::format("no complete checkpoint (step_*.h5) below '{}'; train the teacher "
                              "first: moiety train CONFIG --run-dir {}{}",
                              run.string(), run.string(), why));
}

Found read_file_of(const RunConfig& student, const fs::path& file) {
  try {
    return {file, read_checkpoint_info(file)};
  } catch (const Error& e) {
    refuse(student, e.what());
  }
}

RunConfig parse_teacher(const RunConfig& student, const std::string& yaml, const fs::path& shown,
                        PluginRegistry& plugins) {
  try {
    return parse_config(yaml, shown.string(), {{}, student.world_size}, plugins);
  } catch (const Error& e) {
    refuse(student, fmt::format("the teacher's own configuration cannot be used:\n  {}", e.what()));
  }
}

RunConfig load_teacher(const RunConfig& student, const fs::path& file, const char* option,
                       PluginRegistry& plugins) {
  try {
    return load_config(file, {{}, student.world_size}, plugins);
  } catch (const Error& e) {
    refuse(student, fmt::format("the teacher's own configuration cannot be used:\n  {}", e.what()),
           option);
  }
}

}  // namespace

const TeacherRequest* teacher_request(const Objective& objective) {
  return static_cast<const TeacherRequest*>(objective.facet(kTeacherFacet));
}

TeacherSource find_teacher(const RunConfig& student, const TeacherRequest& request,
                           PluginRegistry& plugins, const std::optional<fs::path>& checkpoint) {
  const fs::path source = checkpoint ? *checkpoint : fs::path(request.source);
  if (source.empty()) refuse(student, "empty; expected a run directory or a checkpoint (.h5)");
  if (!fs::exists(source)) refuse(student, no_checkpoint_text(source));
  TeacherSource teacher;
  teacher.training = request.training;
  const bool folder = fs::is_directory(source);
  const fs::path of_run = source / "config.yaml";
  if (!request.config.empty()) {
    if (!fs::is_regular_file(request.config)) {
      refuse(student, fmt::format("no file '{}'", request.config), kConfigOption);
    }
    teacher.config = load_teacher(student, request.config, kConfigOption, plugins);
    check_pair(student, teacher.config.model, request.config);
  } else if (folder && fs::is_regular_file(of_run)) {
    // A pair that does not go together is named before a checkpoint is missed.
    check_pair(student, load_teacher(student, of_run, kOption, plugins).model, source);
  }
  Found found = folder ? newest_checkpoint(student, source) : read_file_of(student, source);
  teacher.checkpoint = found.file;
  teacher.manifest = found.info.manifest;
  if (request.config.empty()) {
    if (found.info.resolved_yaml.empty()) {
      refuse(student, fmt::format("{} holds weights without a configuration; name the YAML of its "
                                  "model as objective.params.teacher_config",
                                  found.file.string()));
    }
    teacher.config = parse_teacher(student, found.info.resolved_yaml, found.file, plugins);
    check_pair(student, teacher.config.model, found.file);
  }
  // Forward only: no masters, no gradients; the student's tensors and its own meet in one type.
  teacher.config.model.freeze = {"*"};
  teacher.config.precision = student.precision;
  return teacher;
}

void check_teacher(const RunConfig& config, PluginRegistry& plugins) {
  const auto objective = plugins.create<Objective>(config.objective.type, config.objective.options,
                                                   model_dims(config));
  const TeacherRequest* request = teacher_request(*objective);
  if (request != nullptr && objective->wants_teacher(0)) find_teacher(config, *request, plugins);
}

}  // namespace moiety
