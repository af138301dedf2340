// Recordings of a run's routing, and their replay. A recording is an HDF5 file with, for every
// training step, micro-batch and MoE layer, step_S/micro_M/layer_L/{index, weight, position} as
// they lie in RoutingPlan (position only from gates that write it).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "core/checkpoint/hdf5.h"
#include "core/config/run_config.h"
#include "core/device/device.h"
#include "core/model/routing_tap.h"

namespace moiety {

class MOIETY_API RoutingLog final : public RoutingTap {
 public:
  /// Opens the files. Throws ConfigError where the recording exists already, or the replay does
  /// not.
  RoutingLog(const RouterConfig& config, DeviceContext& context);
  ~RoutingLog() override;

  /// Before the step of this number; the first one is 1.
  void begin_step(int64_t step);
  void on_plan(Exec& exec, int64_t layer, const RoutingPlan& plan) override;

 private:
  void write(const std::string& group, const RoutingPlan& plan);
  void read(const std::string& group, const RoutingPlan& plan) const;
  void save(const std::string& dataset, const TensorView& tensor);
  void load(const std::string& dataset, const TensorView& tensor) const;

  RouterConfig config_;
  DeviceContext& context_;
  std::optional<h5::File> record_, replay_;
  int64_t step_ = 0, first_step_ = 0;
  std::map<int64_t, int64_t> micro_batches_;  // of a layer, in this step
};

/// What two recordings have in common and what not.
struct RoutingDifference {
  bool same = false;
  std::string table;  // a line a layer, and the first difference
};
/// Reads both files. Throws Error when one is no recording.
MOIETY_API RoutingDifference compare_routing(const std::filesystem::path& a,
                                             const std::filesystem::path& b);

}  // namespace moiety
