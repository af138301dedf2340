// What the comparisons of one reference share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/checkpoint/hdf5.h"
#include "core/config/run_config.h"
#include "core/device/exec_impl.h"
#include "core/ops/step_ops.h"
#include "core/plugin/registry.h"
#include "core/testing/parity_report.h"

namespace moiety::testing {

struct Parity {
  std::filesystem::path golden;
  PluginRegistry& plugins;
  DeviceContext& context;
  ParityReport& report;
};

// One function for each reference; every group of its file is compared or marked as later.
void compare_gating(Parity& parity);
void compare_expert_choice(Parity& parity);
void compare_router_z(Parity& parity);
void compare_moe_layers(Parity& parity);
void compare_residual(Parity& parity);
void compare_optimizers(Parity& parity);
void compare_schedules(Parity& parity);
void compare_loss_scaler(Parity& parity);
void compare_model(Parity& parity, const std::string& folder);

/// Runs `work` as the case (reference, item): an exception becomes a failing row.
void compare_case(Parity& parity, const std::string& reference, const std::string& item,
                  const std::function<void()>& work);
/// Opens golden/`reference`; a failing row and nothing where that does not work.
std::optional<h5::File> open_reference(Parity& parity, const std::string& reference);

/// Every option of `component` that `object` has as an attribute, completed by the defaults.
ComponentChoice choice_from(PluginRegistry& plugins, ComponentKind kind, const std::string& name,
                            const h5::File& file, const std::string& object);
/// Value of an option from an attribute of the file.
Value value_of(const h5::Attribute& attribute, OptionType type);

// Errors: NaN where anything is not a number or the sizes differ.
/// The largest |got - expected|, over the largest |expected| where that is above 1.
double largest_error(const std::vector<float>& got, const std::vector<float>& expected);
/// |got - expected| over |expected| as vectors.
double norm_error(const std::vector<float>& got, const std::vector<float>& expected);
double number_error(double got, double expected);
/// How many elements differ.
double differences(const std::vector<int64_t>& got, const std::vector<int64_t>& expected);

/// Memory and an Exec as the trainer has them, in f32.
class ParityBench {
 public:
  explicit ParityBench(DeviceContext& context);
  DeviceContext& context() { return context_; }
  Exec& exec() { return exec_; }
  Arena& memory() { return memory_; }
  ops::StepControl* control() { return static_cast<ops::StepControl*>(control_.ptr); }
  void set_control(const ops::StepControl& control);
  ops::StepControl read_control();
  /// The next draws of this purpose are these, f32 [rows, width].
  void bind(RngKey purpose, const std::vector<float>& draws, int64_t width);

  TensorView zeros(std::initializer_list<int64_t> shape);
  TensorView put(const std::vector<float>& values, std::initializer_list<int64_t> shape);
  TensorView put(const std::vector<uint8_t>& values);
  std::vector<float> floats(const TensorView& tensor);
  std::vector<int32_t> integers(const TensorView& tensor);
  void write(const TensorView& tensor, const std::vector<float>& values);

 private:
  void upload(const TensorView& tensor, const void* host, size_t bytes);
  DeviceContext& context_;
  Arena memory_, scratch_;
  TensorView control_, rows_;
  Exec::Impl impl_;
  Exec exec_{&impl_};
};

}  // namespace moiety::testing
