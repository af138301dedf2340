// From a parameter table to a file.
#include <algorithm>

#include "core/checkpoint/writer.h"

namespace moiety {

void save_checkpoint(const std::filesystem::path& file, const ParameterTable& table,
                     const CheckpointInfo& info) {
  CheckpointWriter writer(file, info);
  const std::vector<SavedTensor> tensors = tensors_of(table, /*state=*/true);
  size_t largest = 1;
  const auto slice_bytes = [](const SavedTensor& t) {
    return static_cast<size_t>(t.slice_elements() * size_of(t.dtype));
  };
  for (const SavedTensor& tensor : tensors) largest = std::max(largest, slice_bytes(tensor));
  const Buffer staging = Buffer::pinned(largest);
  for (const SavedTensor& tensor : tensors) {
    const size_t bytes = slice_bytes(tensor);
    for (int64_t slice = 0; slice < tensor.slices(); ++slice) {
      const auto* from =
          static_cast<const uint8_t*>(tensor.memory.ptr) + static_cast<size_t>(slice) * bytes;
      table.context().copy(staging.data(), from, bytes);
      table.context().synchronize();
      writer.add(tensor, slice, staging.data());
    }
  }
  writer.finish();
}

}  // namespace moiety
