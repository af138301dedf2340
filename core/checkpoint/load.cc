// From a file to a parameter table.
#include "core/checkpoint/load.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/checkpoint/crc32.h"

namespace moiety {

namespace {

void append_widened(const std::vector<uint8_t>& bytes, DType dtype, std::vector<float>& out) {
  const auto widen = [&](auto x) {
    for (size_t i = 0; i < bytes.size(); i += sizeof x) {
      std::memcpy(&x, &bytes[i], sizeof x);
      out.push_back(static_cast<float>(x));
    }
  };
  if (dtype == DType::kF32) {
    const size_t before = out.size();
    out.resize(before + bytes.size() / sizeof(float));
    if (!bytes.empty()) std::memcpy(out.data() + before, bytes.data(), bytes.size());
    return;
  }
  if (dtype == DType::kBF16) return widen(BFloat16{});
  widen(Float16{});
}

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

/// Parameters are the model's in f32, whatever the precision they were saved with.
bool is_parameter(const SavedTensor& tensor) { return tensor.path.starts_with("parameters/"); }

}  // namespace

void add_slice_paths(const SavedTensor& tensor, std::set<std::string>& paths) {
  for (int64_t i = 0; i < tensor.slices(); ++i) paths.insert(tensor.slice_path(i));
}

std::set<std::string> datasets_of(const h5::File& file, const std::vector<std::string>& groups) {
  std::set<std::string> found;
  for (const std::string& group : groups) {
    if (!file.exists(group)) continue;
    for (const std::string& name : file.datasets(group)) found.insert(name);
  }
  return found;
}

void check_names(const h5::File& file, const std::set<std::string>& expected,
                 const std::set<std::string>& found) {
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

static void check_shape(const h5::File& file, const SavedTensor& tensor, const std::string& path) {
  const h5::DatasetInfo info = file.info(path);
  const std::vector<int64_t> shape = tensor.slice_shape();
  const bool type_fits =
      info.dtype == tensor.dtype || (is_parameter(tensor) && info.dtype && is_float(*info.dtype));
  MOIETY_CHECK(info.shape == shape && type_fits,
               "{}: /{}: the file has {} {}, the model expects {} {}", file.path().string(), path,
               info.type, shape_text(info.shape), name_of(tensor.dtype), shape_text(shape));
}

std::vector<uint8_t> read_checked(const h5::File& file, const std::string& path, DType dtype,
                                  int64_t elements) {
  std::vector<uint8_t> bytes(static_cast<size_t>(elements * size_of(dtype)));
  file.read(path, dtype, bytes.data(), elements);
  MOIETY_CHECK(
      crc32(bytes.data(), bytes.size()) == static_cast<uint32_t>(file.integer(path, "crc32")),
      "{}: /{}: the data differs from what was written (CRC-32): the file is corrupt",
      file.path().string(), path);
  return bytes;
}

std::vector<float> read_floats(const h5::File& file, const SavedTensor& tensor) {
  std::vector<float> values;
  values.reserve(static_cast<size_t>(tensor.slice_elements() * tensor.slices()));
  for (int64_t slice = 0; slice < tensor.slices(); ++slice) {
    const std::string path = tensor.slice_path(slice);
    const DType dtype = *file.info(path).dtype;
    append_widened(read_checked(file, path, dtype, tensor.slice_elements()), dtype, values);
  }
  return values;
}

void check_shapes(const h5::File& file, const SavedTensor& tensor) {
  for (int64_t i = 0; i < tensor.slices(); ++i) check_shape(file, tensor, tensor.slice_path(i));
}

void load_tensor(const h5::File& file, const SavedTensor& tensor, ParameterTable& table) {
  if (is_parameter(tensor)) return table.write(*tensor.entry, read_floats(file, tensor));
  // Buffers and optimizer state go up as they are.
  const auto bytes = static_cast<size_t>(tensor.slice_elements() * size_of(tensor.dtype));
  for (int64_t slice = 0; slice < tensor.slices(); ++slice) {
    const std::vector<uint8_t> data =
        read_checked(file, tensor.slice_path(slice), tensor.dtype, tensor.slice_elements());
    auto* to = static_cast<uint8_t*>(tensor.memory.ptr) + static_cast<size_t>(slice) * bytes;
    table.context().copy(to, data.data(), bytes);
    table.context().synchronize();
  }
}

static CheckpointInfo load(const std::filesystem::path& path, ParameterTable& table, bool state) {
  const h5::File file(path, h5::File::Mode::kRead);
  check_manifest(file);
  const std::vector<SavedTensor> tensors = tensors_of(table, state);
  std::vector<std::string> groups = {"parameters", "buffers"};
  if (state) groups.push_back("optimizer");
  std::set<std::string> expected;
  for (const SavedTensor& tensor : tensors) add_slice_paths(tensor, expected);
  check_names(file, expected, datasets_of(file, groups));
  // Nothing is written before everything is known to fit.
  for (const SavedTensor& tensor : tensors) check_shapes(file, tensor);
  for (const SavedTensor& tensor : tensors) load_tensor(file, tensor, table);
  return read_info(file);
}

CheckpointInfo load_checkpoint(const std::filesystem::path& file, ParameterTable& table) {
  return load(file, table, /*state=*/true);
}

void load_weights(const std::filesystem::path& file, ParameterTable& table) {
  load(file, table, /*state=*/false);
}

CheckpointInfo read_checkpoint_info(const std::filesystem::path& file) {
  const h5::File in(file, h5::File::Mode::kRead);
  check_manifest(in);
  CheckpointInfo info = read_info(in);
  info.manifest = static_cast<uint32_t>(in.integer("", "manifest_crc32"));
  return info;
}

}  // namespace moiety
