#include "core/train/memory_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/strings.h"

namespace moiety {

namespace {

std::string text(size_t bytes) { return short_bytes(static_cast<double>(bytes)); }

MemoryReport of_table(const TableMemory& table, const DeviceContext& context) {
  return {{{"weights", table.weights},
           {"masters", table.masters},
           {"gradients", table.gradients},
           {"optimizer", table.optimizer}},
          device_memory(context)};
}

/// Of a model that has names and shapes alone.
TableMemory plan_of(const RunConfig& config, PluginRegistry& plugins) {
  DeviceContext context({DeviceType::kCpu}, /*threads=*/1);
  const auto model = make_model(config, plugins, context, ModelMemory::kNone);
  const auto optimizer = plugins.create<Optimizer>(config.optimizer.type, config.optimizer.options,
                                                   model_dims(config));
  return model->parameters().plan(table_form(config), *optimizer);
}

/// Options that need less, as "key: value, saves so much" where the saving is known.
std::string advice(const RunConfig& config, const MemoryReport& report) {
  std::string lines;
  const auto bytes_of = [&](const char* name) -> size_t {
    for (const MemoryReport::Part& part : report.parts) {
      if (part.name == name) return part.bytes;
    }
    return 0;
  };
  if (config.precision == Precision::kF32) {
    lines += "\n  bf16.enabled: true halves activations";
  }
  if (config.precision != Precision::kF32 && config.gradient_accumulation_steps == 1 &&
      config.gradient_dtype == "fp32") {
    lines += fmt::format("\n  data_types.grad_accum_dtype: auto saves nearly {}",
                         text(bytes_of("gradients") / 2));
  }
  if (config.precision == Precision::kBF16 && !config.split_masters) {
    lines += fmt::format("\n  bf16.split_masters: true saves {}", text(bytes_of("masters") / 2));
  }
  if (config.recompute.policy != "full" && config.model.type == "gpt") {
    lines += "\n  activation_checkpointing.policy: full keeps a layer's input and routing alone";
  }
  if (config.micro_batch_size > 1) {
    lines += fmt::format(
        "\n  train_micro_batch_size_per_gpu below {} with more gradient_accumulation_steps: "
        "activations and workspace follow it",
        config.micro_batch_size);
  }
  return lines.empty() ? "" : "\nWhat needs less:" + lines;
}

std::string out_of_memory_text(const std::string& what, const RunConfig& config,
                               const MemoryReport& report) {
  return what + "\nNo step was taken; the memory of the device:\n" + memory_table(report) +
         advice(config, report);
}

}  // namespace

size_t MemoryReport::total() const {
  size_t bytes = 0;
  for (const Part& part : parts) bytes += part.bytes;
  return bytes;
}

MemoryReport memory_report(const Session& session, const StepRunner& runner) {
  const DeviceContext& context = *session.context;
  const TableMemory table = session.model->parameters().memory();
  MemoryReport report = of_table(table, context);
  size_t fragmentation = table.spare;
  const auto arenas = [&](const char* name, const std::vector<const Arena*>& memory, size_t bytes) {
    for (const Arena* arena : memory) {
      bytes += arena->peak_bytes();
      fragmentation += arena->reserved_bytes() - arena->peak_bytes();
    }
    report.parts.push_back({name, bytes});
  };
  arenas("activations", session.model->activation_memory(), 0);
  const TensorView products = context.workspace();  // cuBLAS and cuBLASLt have one each
  arenas("workspace", {&runner.scratch()},
         products ? 2 * static_cast<size_t>(products.numel()) : 0);
  const size_t known = report.total() + fragmentation, ours = context.bytes_in_use();
  report.parts.push_back({"buffers", ours > known ? ours - known : 0});
  report.parts.push_back({"fragmentation", fragmentation});
  if (context.device().type == DeviceType::kCuda) {
    const size_t used = report.device.total - report.device.free;
    report.parts.push_back({"driver", used > ours ? used - ours : 0});
  }
  return report;
}

MemoryReport planned_memory(const RunConfig& config, PluginRegistry& plugins,
                            const DeviceContext& context) {
  return of_table(plan_of(config, plugins), context);
}

std::string memory_table(const MemoryReport& report) {
  std::string out;
  size_t width = 0;
  for (const MemoryReport::Part& part : report.parts) width = std::max(width, part.name.size());
  for (const MemoryReport::Part& part : report.parts) {
    out += fmt::format("  {:<{}} {:>10}\n", part.name, width, text(part.bytes));
  }
  return out + fmt::format("  {:<{}} {:>10} of {}", "sum", width, text(report.total()),
                           text(report.device.total));
}

Json to_json(const MemoryReport& report) {
  Json parts = Json::Object{};
  for (const MemoryReport::Part& part : report.parts) parts.set(part.name, part.bytes);
  return Json::Object{{"bytes", parts}, {"total", report.total()}, {"device", report.device.total}};
}

void require_memory(const RunConfig& config, PluginRegistry& plugins,
                    const DeviceContext& context) {
  const MemoryReport plan = planned_memory(config, plugins, context);
  if (plan.total() <= plan.device.free) return;
  throw OutOfMemory(out_of_memory_text(
      fmt::format("weights, gradients and optimizer state need {}, before any activation; the "
                  "device has {} free",
                  text(plan.total()), text(plan.device.free)),
      config, plan));
}

MemoryReport run_first_step(const RunConfig& config, const Session& session, StepRunner& runner,
                            bool graph) {
  try {
    runner.run(graph);
  } catch (const OutOfMemory& e) {
    throw OutOfMemory(out_of_memory_text(e.what(), config, memory_report(session, runner)));
  }
  return memory_report(session, runner);
}

}  // namespace moiety
