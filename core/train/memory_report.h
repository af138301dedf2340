// Where a run's memory goes, and what to change when it does not fit.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/out_of_memory.h"
#include "core/config/run_config.h"
#include "core/device/memory.h"
#include "core/train/session.h"
#include "core/train/step_runner.h"

namespace moiety {

/// Bytes of a device by what they are for. Their sum is what the device has given away.
struct MemoryReport {
  struct Part {
    std::string name;
    size_t bytes = 0;
  };
  std::vector<Part> parts;
  DeviceMemory device;

  MOIETY_API size_t total() const;
};

/// After the first step, which sizes the arenas: weights, masters, gradients, optimizer state,
/// activations (kept from forward to backward), workspace (of the ops), buffers (batches, tables,
/// statistics), fragmentation (held by an arena and in no tensor) and, on a GPU, driver: the rest
/// of its memory that is in use, by the driver itself, kernels, graphs and other processes.
MOIETY_API MemoryReport memory_report(const Session& session, const StepRunner& runner);
/// Before anything is allocated: weights, masters, gradients and optimizer state.
MOIETY_API MemoryReport planned_memory(const RunConfig& config, PluginRegistry& plugins,
                                       const DeviceContext& context);

/// A line for each part, then the sum.
MOIETY_API std::string memory_table(const MemoryReport& report);
MOIETY_API Json to_json(const MemoryReport& report);

/// Throws OutOfMemory with the table and what needs less where planned_memory() is more than the
/// device has free. Allocates nothing.
MOIETY_API void require_memory(const RunConfig& config, PluginRegistry& plugins,
                               const DeviceContext& context);
/// The first step of a process: it sizes the arenas. Where the device runs out of memory, throws
/// OutOfMemory with the table of what there was and what needs less.
MOIETY_API MemoryReport run_first_step(const RunConfig& config, const Session& session,
                                       StepRunner& runner, bool graph);

}  // namespace moiety
