// From a parameter table to a file.
#include <algorithm>

#include "core/checkpoint/writer.h"

namespace moiety {

namespace {

size_t slice_bytes(const SavedTensor& t) {
  return static_cast<size_t>(t.slice_elements() * size_of(t.dtype));
}

void download(const ParameterTable& table, const SavedTensor& tensor, int64_t slice, void* to) {
  const int64_t elements = tensor.slice_elements();
  if (tensor.is_split()) {
    return table.read_part(*tensor.entry, slice * elements, elements, static_cast<float*>(to));
  }
  const size_t bytes = slice_bytes(tensor);
  const auto* from =
      static_cast<const uint8_t*>(tensor.memory.ptr) + static_cast<size_t>(slice) * bytes;
  table.context().copy(to, from, bytes);
  table.context().synchronize();
}

}  // namespace

void save_checkpoint(const std::filesystem::path& file, const ParameterTable& table,
                     const CheckpointInfo& info) {
  CheckpointWriter writer(file, info);
  const std::vector<SavedTensor> tensors = tensors_of(table, /*state=*/true);
  size_t largest = 1;
  for (const SavedTensor& tensor : tensors) largest = std::max(largest, slice_bytes(tensor));
  const Buffer staging = Buffer::pinned(largest);
  for (const SavedTensor& tensor : tensors) {
    for (int64_t slice = 0; slice < tensor.slices(); ++slice) {
      download(table, tensor, slice, staging.data());
      writer.add(tensor, slice, staging.data());
    }
  }
  writer.finish();
}

}  // namespace moiety
