// Mixture of Students (Rajbhandari et al., 2022, section 4.2): a teacher beside the model.
#include <string>

#include "core/config/import/flags.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

constexpr Arity kNone = Arity::kNone, kOne = Arity::kOne, kMany = Arity::kMany;

void distillation(const FlagContext& c) {
  const char* flag = c.given.has("--mos") ? "--mos" : c.given.has("--kd") ? "--kd" : nullptr;
  if (flag == nullptr) return;
  if (!c.out.set_type("objective", "mos", flag,
                      "The student's loss plus beta T^2 KL(teacher || student): a sum, not an "
                      "interpolation. The teacher is in evaluation mode by default; "
                      "Megatron-DeepSpeed leaves it in training mode. KL is in float32.")) {
    for (const char* name : {"--load-teacher", "--kd-beta-ce", "--kd-temp"}) {
      if (c.given.has(name))
        c.out.refuse(c.given.find(name)->text(), std::string("belongs to ") + flag);
    }
    return;
  }
  const std::string params = "objective.params.";
  if (c.given.has("--load-teacher")) {
    c.out.set(params + "teacher", string_text(c.given.value("--load-teacher")),
              c.given.find("--load-teacher")->text(),
              "A checkpoint or run directory of this program's; its configuration is in it.");
  }
  const auto number = [&](const char* name, const char* option) {
    if (!c.given.has(name)) return;
    c.out.set(params + option, c.given.value(name), c.given.find(name)->text());
  };
  number("--kd-beta-ce", "beta");
  number("--kd-temp", "temperature");
  c.out.note("objective.type",
             "Megatron-DeepSpeed has no flag that ends distillation; the paper stops it after "
             "about 400 thousand steps: stop_step.");
}

/// Of no use without --mos or --kd.
void part_of_distillation(const FlagContext& c) {
  if (c.given.has("--mos") || c.given.has("--kd")) return;
  for (const char* name : {"--load-teacher", "--kd-beta-ce", "--kd-temp"}) {
    if (c.given.has(name)) c.out.drop(c.given.find(name)->text(), "without --mos or --kd");
  }
}

constexpr const char* kTeacher = "the teacher's checkpoint holds its shape";

const Flag kFlags[] = {
    part("--mos", kNone, distillation),
    part("--kd", kNone, distillation),
    part("--load-teacher", kOne, part_of_distillation),
    part("--kd-beta-ce", kOne, part_of_distillation),
    part("--kd-temp", kOne, part_of_distillation),
    nothing("--kd-alpha-ce", kOne, "Megatron-DeepSpeed reads it and never uses it"),
    nothing("--num-layers-teacher", kOne, kTeacher),
    nothing("--hidden-size-teacher", kOne, kTeacher),
    nothing("--num-attention-heads-teacher", kOne, kTeacher),
    nothing("--num-experts-teacher", kMany, kTeacher),
    nothing("--reset-iteration", kNone,
            "a run whose weights come from model.init_from starts at 0"),
    refused("--teacher-forward", kNone,
            "no flag of Megatron-DeepSpeed, though guides show it: a teacher runs where --mos or "
            "--kd is given"),
    refused("--teacher-model-parallel-size", kOne,
            "no flag of Megatron-DeepSpeed, though guides show it"),
};

}  // namespace

std::span<const Flag> distillation_flags() { return kFlags; }

}  // namespace moiety::config
