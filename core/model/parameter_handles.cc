// The handles through which components declare and see parameters.
#include <algorithm>
#include <string>

#include <moiety/ops.h>

#include "core/base/check.h"
#include "core/model/parameter_table.h"
#include "core/ops/transpose.h"

namespace moiety {

TensorView Parameter::value() const { return impl_->value; }
TensorView Parameter::grad() const {
  return impl_->mode == GradMode::kNone ? TensorView{} : impl_->grad;
}
GradMode Parameter::grad_mode() const { return impl_->mode; }

ComputeCopy Parameter::compute_copy(Format format) const {
  const Impl& p = *impl_;
  if (!format.transposed && format.dtype == p.value.dtype) return {p.value, {}};
  for (const Impl::Copy& copy : p.copies) {
    if (copy.format.dtype == format.dtype && copy.format.transposed == format.transposed) {
      return {copy.values, {}};
    }
  }
  MOIETY_CHECK(p.copy_memory != nullptr && p.exec != nullptr,
               "parameter {}: a compute copy was asked for before the table was allocated",
               p.spec.name);
  MOIETY_CHECK(size_of(format.dtype) > 1,
               "parameter {}: no copies in {}; f32, bf16 and f16 are supported", p.spec.name,
               name_of(format.dtype));
  Impl::Copy copy{format, {}};
  copy.values =
      format.transposed
          ? p.copy_memory->make(format.dtype, ops::transposed_shape(p.value))
          : p.copy_memory->make(
                format.dtype,
                std::span<const int64_t>(p.value.shape.data(), static_cast<size_t>(p.value.rank)));
  p.copies.push_back(copy);
  refresh_copies(p);
  return {copy.values, {}};
}

void refresh_copies(const Parameter::Impl& p) {
  Exec exec(p.exec);
  for (const Parameter::Impl::Copy& copy : p.copies) {
    if (copy.format.transposed) {
      ops::transpose(exec, p.value, copy.values);
    } else {
      ops::copy(exec, p.value, copy.values);
    }
  }
}

Parameter Params::operator[](std::string_view name) const {
  std::string known;
  for (const auto& [declared, parameter] : impl_->table) {
    if (declared == name) return Parameter(parameter);
    known += (known.empty() ? "" : ", ") + declared;
  }
  throw Error(fmt::format("parameter '{}' was not declared; declared are: {}", name,
                          known.empty() ? "none" : known));
}

void Declarations::parameter(const ParamSpec& spec) { impl_->parameters.push_back(spec); }

void Declarations::compute_gradient(std::string_view name) {
  const auto& known = impl_->parameters;
  MOIETY_CHECK(std::any_of(known.begin(), known.end(),
                           [&](const ParamSpec& spec) { return spec.name == name; }),
               "compute_gradient: parameter '{}' was not declared before", name);
  impl_->compute_gradients.emplace_back(name);
}

void Declarations::buffer(std::string_view name, DType dtype,
                          std::initializer_list<int64_t> shape) {
  impl_->buffers.push_back({std::string(name), dtype, shape});
}

}  // namespace moiety
