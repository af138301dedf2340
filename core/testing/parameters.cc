#include "core/testing/parameters.h"

#include <fmt/format.h>

namespace moiety::testing {

ComponentParameters::ComponentParameters(DeviceContext& context, const Component& component,
                                         bool expert, const TableForm& form)
    : handles_(table_.declare("component", component, expert, 0)) {
  table_.allocate(context, form);
  uint32_t seed = 100;
  for (TableEntry& entry : table_.entries()) {
    if (!entry.buffer) {
      host_.push_back(normal(static_cast<size_t>(entry.parameter.value.numel()), seed++, 0.4f));
    }
  }
  push();
}

void ComponentParameters::push() {
  size_t i = 0;
  for (TableEntry& entry : table_.entries()) {
    if (!entry.buffer) table_.write(entry, host_[i++]);
  }
}

std::vector<float> ComponentParameters::gradients() {
  std::vector<float> all;
  for (TableEntry& entry : table_.entries()) {
    if (entry.buffer) continue;
    const std::vector<float> one = table_.read(entry.parameter.grad);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

std::vector<DType> ComponentParameters::gradient_dtypes() const {
  std::vector<DType> dtypes;
  for (const TableEntry& entry : table_.entries()) {
    if (!entry.buffer) dtypes.push_back(entry.parameter.grad.dtype);
  }
  return dtypes;
}

void ComponentParameters::poison_gradients() {
  for (TableEntry& entry : table_.entries()) {
    if (entry.buffer) continue;
    const TensorView& grad = entry.parameter.grad;
    const std::vector<uint8_t> poison(  // all bits set are a NaN in every float format
        static_cast<size_t>(grad.numel() * size_of(grad.dtype)), 0xff);
    table_.context().copy(grad.ptr, poison.data(), poison.size());
    table_.context().synchronize();
  }
}

std::vector<float> ComponentParameters::values() {
  std::vector<float> all;
  for (TableEntry& entry : table_.entries()) {
    const std::vector<float> one = table_.read(entry);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

std::vector<Leaf> ComponentParameters::leaves() {
  std::vector<Leaf> leaves;
  size_t i = 0;
  for (TableEntry& entry : table_.entries()) {
    if (entry.buffer) continue;
    leaves.push_back({entry.parameter.spec.name, &host_[i++], table_.read(entry.parameter.grad)});
  }
  return leaves;
}

void check_declarations(const Subject& subject, Report& report) {
  const bool expert = subject.info.kind == ComponentKind::kExpert;
  if (!expert && subject.info.kind != ComponentKind::kGating) return;
  report.check("declarations", [&]() -> Verdict {
    const auto component =
        subject.plugins.create(subject.info.kind, subject.info.name, subject.options, kit_dims());
    ParameterTable table;
    table.declare("component", *component, expert, 0);
    for (const TableEntry& entry : table.entries()) {
      for (const int64_t size : entry.shape) {
        if (size < 1) return fmt::format("'{}' has an axis of {}", entry.name, size);
      }
      if (expert && (entry.shape.empty() || entry.shape[0] != kExperts)) {
        return fmt::format("'{}' of an expert type must have one slice per expert on axis 0, {}",
                           entry.name, kExperts);
      }
    }
    return "";
  });
}

}  // namespace moiety::testing
