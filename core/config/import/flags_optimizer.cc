// Optimizer, learning rate, gradients.
#include <string>
#include <utility>

#include "core/config/import/flags.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

constexpr Arity kNone = Arity::kNone, kOne = Arity::kOne;

void momentum(const FlagContext& c) {
  if (c.given.has("--sgd-momentum") && c.given.value("--optimizer", "adam") != "sgd") {
    c.out.drop(c.given.find("--sgd-momentum")->text(), "read with --optimizer sgd alone");
  }
}

/// Megatron's own keys for what a ds_config decides under DeepSpeed.
void clipping(const FlagContext& c) {
  const GivenFlag* flag = c.given.find("--clip-grad");
  if (flag == nullptr) return;
  if (!c.given.has("--deepspeed")) {
    return c.out.set("gradient_clipping", c.given.value("--clip-grad"), flag->text());
  }
  const char* why = "under --deepspeed it has no effect: gradient_clipping of the ds_config rules";
  if (c.out.find("gradient_clipping") != nullptr) return c.out.drop(flag->text(), why);
  c.out.set("gradient_clipping", c.given.value("--clip-grad"), flag->text(),
            "Without effect under --deepspeed: gradient_clipping of the ds_config rules, which is "
            "not at hand here. Look there.");
}

void loss_scale(const FlagContext& c) {
  const char* why = "under --deepspeed it has no effect: fp16 of the ds_config rules";
  for (const auto& [name, key] :
       {std::pair{"--loss-scale", "fp16.loss_scale"},
        std::pair{"--min-loss-scale", "fp16.min_loss_scale"},
        std::pair{"--loss-scale-window", "fp16.loss_scale_window"},
        std::pair{"--hysteresis", "fp16.hysteresis"}, std::pair{"--initial-loss-scale", ""}}) {
    const GivenFlag* flag = c.given.find(name);
    if (flag == nullptr) continue;
    if (c.given.has("--deepspeed")) {
      c.out.drop(flag->text(), why);
    } else if (std::string(key).empty()) {
      int64_t power = 0;
      for (double x = c.given.number(name, 1); x > 1; x /= 2) ++power;
      c.out.set("fp16.initial_scale_power", std::to_string(power), flag->text());
    } else {
      c.out.set(key, c.given.value(name), flag->text());
    }
  }
}

void precision(const FlagContext& c) {
  for (const auto& [flag, section] : {std::pair{"--fp16", "fp16"}, std::pair{"--bf16", "bf16"}}) {
    if (!c.given.has(flag)) continue;
    c.out.set(std::string(section) + ".enabled", "true", flag);
    const std::string other = section == std::string("fp16") ? "bf16.enabled" : "fp16.enabled";
    if (c.out.find(other) != nullptr) c.out.set(other, "false", flag);
  }
}

/// Megatron-LM's: Transformer Engine's recipes, of which blockwise is ours.
void fp8(const FlagContext& c) {
  const GivenFlag* format = c.given.find("--fp8-format");
  const GivenFlag* recipe = c.given.find("--fp8-recipe");
  if (format == nullptr) return c.out.drop(recipe->text(), "read with --fp8-format alone");
  if (recipe == nullptr || recipe->values.front() != "blockwise") {
    const std::string text = format->text() + (recipe == nullptr ? "" : " " + recipe->text());
    return c.out.refuse(text, "FP8 is scaled by blocks alone: --fp8-recipe blockwise");
  }
  c.out.set("fp8.enabled", "true", format->text() + " " + recipe->text(),
            c.given.value("--fp8-format") == "e4m3"
                ? "Gradients are E5M2, weights' gradients of experts bfloat16."
                : "Weights' gradients of experts are bfloat16.");
}

constexpr const char* kFp8ByTensor = "scales whole tensors; fp8.enabled scales blocks";
constexpr const char* kAlwaysFloat32 = "gradients are float32 always";
constexpr const char* kScheduleOfDecay = "needs a schedule of the weight decay";

const Flag kFlags[] = {
    part("--optimizer", kOne, set_optimizer),
    part("--lr", kOne, set_optimizer),
    part("--weight-decay", kOne, set_optimizer),
    part("--adam-beta1", kOne, set_optimizer),
    part("--adam-beta2", kOne, set_optimizer),
    part("--adam-eps", kOne, set_optimizer),
    part("--sgd-momentum", kOne, momentum),
    refused("--start-weight-decay", kOne, kScheduleOfDecay),
    refused("--end-weight-decay", kOne, kScheduleOfDecay),
    only("--weight-decay-incr-style", "constant", kScheduleOfDecay),
    part("--clip-grad", kOne, clipping),
    part("--loss-scale", kOne, loss_scale),
    part("--initial-loss-scale", kOne, loss_scale),
    part("--min-loss-scale", kOne, loss_scale),
    part("--loss-scale-window", kOne, loss_scale),
    part("--hysteresis", kOne, loss_scale),
    part("--fp16", kNone, precision),
    part("--bf16", kNone, precision),
    part("--fp8-format", kOne, fp8),
    part("--fp8-recipe", kOne, fp8),
    refused("--fp8-e4m3", kNone, kFp8ByTensor),
    refused("--fp8-hybrid", kNone, kFp8ByTensor),
    nothing("--accumulate-allreduce-grads-in-fp32", kNone, kAlwaysFloat32),
    nothing("--no-gradient-accumulation-fusion", kNone, kAlwaysFloat32),
    refused("--fp16-lm-cross-entropy", kNone, "the loss is computed in float32"),
    refused("--cpu-optimizer", kNone, "needs optimizer offloading"),
    refused("--cpu_torch_adam", kNone, "needs optimizer offloading"),
    nothing("--ds_fused_adam", kNone, "there is one implementation"),
    nothing("--no-contiguous-buffers-in-local-ddp", kNone, "gradients lie where they are"),
};

}  // namespace

void set_optimizer(const FlagContext& c) {
  if (!c.given.has("--deepspeed") && !c.given.has("--clip-grad")) {
    c.out.set_default("gradient_clipping", "1.0", "Megatron's default");
  }
  const bool given = c.given.has("--optimizer");
  const std::string kind = c.given.value("--optimizer", "adam");
  const std::string source = given ? c.given.find("--optimizer")->text() : "Megatron's default";
  if (!c.out.set_type(
          "optimizer", kind, source,
          kind == "adam" ? "Decoupled weight decay (AdamW), as Megatron's adam." : "")) {
    for (const char* name :
         {"--lr", "--weight-decay", "--adam-beta1", "--adam-beta2", "--adam-eps"}) {
      if (c.given.has(name)) c.out.refuse(c.given.find(name)->text(), "belongs to the optimizer");
    }
    return;
  }
  const auto set = [&](const char* flag, const char* option, const std::string& value) {
    const GivenFlag* found = c.given.find(flag);
    if (found != nullptr)
      c.out.set("optimizer.params." + std::string(option), value, found->text());
  };
  set("--lr", "lr", c.given.value("--lr"));
  set("--weight-decay", "weight_decay", c.given.value("--weight-decay"));
  c.out.set_default("optimizer.params.weight_decay", "0.01", "Megatron's default");
  if (kind == "sgd") {
    c.out.set("optimizer.params.momentum", c.given.value("--sgd-momentum", "0.9"),
              c.given.has("--sgd-momentum") ? "--sgd-momentum" : "Megatron's default");
    return;
  }
  if (c.given.has("--adam-beta1") || c.given.has("--adam-beta2")) {
    const std::string first = c.given.value("--adam-beta1", "0.9");
    const std::string second = c.given.value("--adam-beta2", "0.999");
    c.out.set("optimizer.params.betas", "[" + first + ", " + second + "]",
              "--adam-beta1 " + first + " --adam-beta2 " + second);
  }
  set("--adam-eps", "eps", c.given.value("--adam-eps"));
}

std::span<const Flag> optimizer_flags() { return kFlags; }

}  // namespace moiety::config
