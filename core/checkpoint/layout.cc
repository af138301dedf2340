#include "core/checkpoint/layout.h"

#include "core/base/check.h"

namespace moiety {

std::vector<int64_t> SavedTensor::slice_shape() const {
  return per_expert ? std::vector<int64_t>(shape.begin() + 1, shape.end()) : shape;
}

int64_t SavedTensor::slice_elements() const {
  int64_t n = 1;
  for (const int64_t size : slice_shape()) n *= size;
  return n;
}

std::string SavedTensor::slice_path(int64_t slice) const {
  return per_expert ? fmt::format("{}/expert_{:05}", path, slice) : path;
}

std::vector<SavedTensor> tensors_of(const ParameterTable& table, bool state) {
  std::vector<SavedTensor> out;
  for (const TableEntry& constant : table.entries()) {
    auto& entry = const_cast<TableEntry&>(constant);  // loading writes through the same list
    const TensorView& values = entry.buffer ? entry.parameter.value : entry.authoritative();
    out.push_back({(entry.buffer ? "buffers/" : "parameters/") + entry.name, entry.shape,
                   entry.master_low ? DType::kF32 : values.dtype, entry.expert, &entry, values});
    for (size_t i = 0; state && i < entry.state.size(); ++i) {
      const TensorView& memory = entry.state[i];
      const auto& begin = memory.shape.begin();
      const std::vector<int64_t> shape(begin, begin + memory.rank);
      out.push_back({"optimizer/" + entry.state_specs[i].name + "/" + entry.name, shape,
                     memory.dtype, entry.expert && shape == entry.shape, &entry, memory});
    }
  }
  return out;
}

}  // namespace moiety
