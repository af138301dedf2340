#include "core/train/teacher.h"

#include <fmt/format.h>

#include "core/base/strings.h"
#include "core/checkpoint/checkpoint.h"
#include "core/device/phase_timer.h"
#include "core/train/session.h"

namespace moiety {

namespace {
/// Teacher and student often have the same seed and layers of the same number; their dropout must
/// not fall on the same elements.
constexpr uint64_t kSeedOffset = 0x74656163686572;  // "teacher"
}  // namespace

Teacher::Teacher(const TeacherSource& source, uint64_t student_seed, PluginRegistry& plugins,
                 DeviceContext& context)
    : training_(source.training),
      scratch_(context),
      model_(make_model(source.config, plugins, context)) {
  require_device_code(context, plugins);
  load_weights(source.checkpoint, model_->parameters());
  impl_.context = &context;
  impl_.scratch = &scratch_;
  impl_.seed = student_seed ^ kSeedOffset;
  description_ = fmt::format("{}, {} parameters, {} mode", source.checkpoint.string(),
                             short_count(static_cast<double>(model_->parameters().total())),
                             training_ ? "train" : "eval");
}

Teacher::~Teacher() = default;

void Teacher::forward(Exec& exec, const MicroBatch& batch) {
  const PhaseScope phase(exec, "teacher");
  impl_.step = exec.impl().step;
  impl_.rows = batch.rows;
  impl_.compute_dtype = exec.compute_dtype();
  impl_.fp8_parts = exec.impl().fp8_parts;
  impl_.deterministic = exec.impl().deterministic;
  features_ = model_->features(exec_, batch, training_);
}

void Teacher::logits(int64_t begin, TensorView out) const {
  model_->feature_logits(exec_, features_.slice(0, begin, out.dim(0)), out);
}

}  // namespace moiety
