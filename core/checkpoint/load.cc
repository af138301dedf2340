// From a file to a parameter table.
#include <algorithm>
#include <set>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/checkpoint/crc32.h"
#include "core/checkpoint/layout.h"

namespace moiety {

namespace {

/// Every difference between the names in the file and in the model, in one error.
void check_names(const h5::File& file, const std::vector<SavedTensor>& tensors,
                 const std::vector<std::string>& groups) {
  std::set<std::string> expected, found;
  for (const SavedTensor& tensor : tensors) {
    for (int64_t i = 0; i < tensor.slices(); ++i) expected.insert(tensor.slice_path(i));
  }
  for (const std::string& group : groups) {
    if (!file.exists(group)) continue;
    for (const std::string& name : file.datasets(group)) found.insert(name);
  }
  std::vector<std::string> missing, unexpected;
  std::set_difference(expected.begin(), expected.end(), found.begin(), found.end(),
                      std::back_inserter(missing));
  std::set_difference(found.begin(), found.end(), expected.begin(), expected.end(),
                      std::back_inserter(unexpected));
  if (missing.empty() && unexpected.empty()) return;
  constexpr size_t kShown = 10;
  std::string text = fmt::format("{}: does not fit the model", file.path().string());
  for (size_t i = 0; i < std::min(missing.size(), kShown); ++i) {
    text += fmt::format("\n  missing in the file: /{}{}", missing[i],
                        did_you_mean(missing[i], unexpected));
  }
  for (size_t i = 0; i < std::min(unexpected.size(), kShown); ++i) {
    text += fmt::format("\n  unknown to the model: /{}{}", unexpected[i],
                        did_you_mean(unexpected[i], missing));
  }
  const size_t more = std::max(missing.size(), kShown) + std::max(unexpected.size(), kShown);
  if (more > 2 * kShown) text += fmt::format("\n  and {} more", more - 2 * kShown);
  if (!file.exists("optimizer") && !missing.empty() && missing[0].starts_with("optimizer/")) {
    text += "\n  the file holds weights alone: start from it with model.init_from";
  }
  throw Error(text);
}

void check_shape(const h5::File& file, const SavedTensor& tensor, const std::string& path) {
  const h5::DatasetInfo info = file.info(path);
  const std::vector<int64_t> shape = tensor.slice_shape();
  MOIETY_CHECK(info.shape == shape && info.dtype == tensor.dtype,
               "{}: /{}: the file has {} {}, the model expects {} {}", file.path().string(), path,
               info.type, shape_text(info.shape), name_of(tensor.dtype), shape_text(shape));
}

void load_tensor(const h5::File& file, const SavedTensor& tensor, ParameterTable& table) {
  const int64_t elements = tensor.slice_elements();
  const auto slice_bytes = static_cast<size_t>(elements * size_of(tensor.dtype));
  // A parameter is also converted to what the model reads; everything else goes up as it is.
  const bool whole = !tensor.entry->buffer && tensor.path.starts_with("parameters/");
  std::vector<float> values(whole ? static_cast<size_t>(elements * tensor.slices()) : 0);
  const Buffer staging = whole ? Buffer() : Buffer::pinned(std::max<size_t>(slice_bytes, 1));
  for (int64_t slice = 0; slice < tensor.slices(); ++slice) {
    const std::string path = tensor.slice_path(slice);
    const size_t offset = static_cast<size_t>(slice) * slice_bytes;
    void* host = whole ? reinterpret_cast<uint8_t*>(values.data()) + offset : staging.data();
    file.read(path, tensor.dtype, host, elements);
    const uint32_t crc = crc32(host, slice_bytes);
    MOIETY_CHECK(crc == static_cast<uint32_t>(file.integer(path, "crc32")),
                 "{}: /{}: the data differs from what was written (CRC-32): the file is corrupt",
                 file.path().string(), path);
    if (whole) continue;
    table.context().copy(static_cast<uint8_t*>(tensor.memory.ptr) + offset, host, slice_bytes);
    table.context().synchronize();
  }
  if (whole) table.write(*tensor.entry, values);
}

CheckpointInfo load(const std::filesystem::path& path, ParameterTable& table, bool state) {
  const h5::File file(path, h5::File::Mode::kRead);
  check_manifest(file);
  const std::vector<SavedTensor> tensors = tensors_of(table, state);
  std::vector<std::string> groups = {"parameters", "buffers"};
  if (state) groups.push_back("optimizer");
  check_names(file, tensors, groups);
  // Nothing is written before everything is known to fit.
  for (const SavedTensor& tensor : tensors) {
    for (int64_t i = 0; i < tensor.slices(); ++i) check_shape(file, tensor, tensor.slice_path(i));
  }
  for (const SavedTensor& tensor : tensors) load_tensor(file, tensor, table);
  return read_info(file);
}

}  // namespace

CheckpointInfo load_checkpoint(const std::filesystem::path& file, ParameterTable& table) {
  return load(file, table, /*state=*/true);
}

void load_weights(const std::filesystem::path& file, ParameterTable& table) {
  load(file, table, /*state=*/false);
}

CheckpointInfo read_checkpoint_info(const std::filesystem::path& file) {
  const h5::File in(file, h5::File::Mode::kRead);
  check_manifest(in);
  return read_info(in);
}

}  // namespace moiety
