// The parameters of one component, with values that make every gradient matter.
#pragma once

#include "core/model/parameter_table.h"
#include "core/testing/numeric.h"
#include "core/testing/subject.h"

namespace moiety::testing {

class MOIETY_API ComponentParameters {
 public:
  /// Allocates what `component` declares, with normal values.
  ComponentParameters(DeviceContext& context, const Component& component, bool expert,
                      const TableForm& form);
  ComponentParameters(DeviceContext& context, const Component& component, bool expert,
                      DType compute = DType::kF32)
      : ComponentParameters(context, component, expert, TableForm{.compute = compute}) {}

  Params params() { return Params(handles_); }
  void set(GradMode mode) { table_.set_grad_mode(mode); }
  bool empty() const { return table_.entries().empty(); }
  /// All gradients one after the other.
  std::vector<float> gradients();
  void poison_gradients();  ///< NaN
  /// The dtypes of the parameters' gradients.
  std::vector<DType> gradient_dtypes() const;
  /// All parameters and buffers one after the other.
  std::vector<float> values();

  /// Host copies of the parameters to move in a gradient check; push() sends them to the device.
  std::vector<Leaf> leaves();
  void push();

 private:
  ParameterTable table_;
  Params::Impl* handles_;
  std::vector<std::vector<float>> host_;
};

/// `declarations`: what a gate or an expert declares can be allocated, and expert parameters have
/// one slice per expert.
void check_declarations(const Subject& subject, Report& report);

}  // namespace moiety::testing
