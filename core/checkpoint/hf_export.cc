#include "core/checkpoint/hf_export.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/strings.h"
#include "core/checkpoint/hf_mapping.h"
#include "core/checkpoint/hf_slice.h"
#include "core/checkpoint/load.h"
#include "core/checkpoint/safetensors_writer.h"

namespace moiety {

namespace {

DType dtype_named(const std::string& name) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    if (name == name_of(dtype)) return dtype;
  }
  throw Error("'" + name + "' is no float type of a tensor");
}

/// What transformers calls it in config.json.
const char* torch_name(DType dtype) {
  return dtype == DType::kBF16 ? "bfloat16" : dtype == DType::kF16 ? "float16" : "float32";
}

float widened(const uint8_t* at, DType dtype) {
  float x = 0;
  if (dtype == DType::kF32) {
    std::memcpy(&x, at, sizeof x);
    return x;
  }
  BFloat16 b;
  Float16 h;
  std::memcpy(&b.bits, at, 2);
  h.bits = b.bits;
  return dtype == DType::kBF16 ? static_cast<float>(b) : static_cast<float>(h);
}

/// The elements rounded to another type; exact where they came from it.
std::vector<uint8_t> converted(const std::vector<uint8_t>& bytes, DType from, DType to) {
  if (from == to) return bytes;
  const auto in = static_cast<size_t>(size_of(from)), out = static_cast<size_t>(size_of(to));
  std::vector<uint8_t> result(bytes.size() / in * out);
  for (size_t i = 0; i < bytes.size() / in; ++i) {
    const float x = widened(&bytes[i * in], from);
    const auto b = BFloat16(x);
    const auto h = Float16(x);
    const void* value = to == DType::kF32    ? static_cast<const void*>(&x)
                        : to == DType::kBF16 ? static_cast<const void*>(&b)
                                             : static_cast<const void*>(&h);
    std::memcpy(&result[i * out], value, out);
  }
  return result;
}

/// One slice of a checkpoint's tensor, and the tensors that it becomes.
struct SliceExport {
  std::string path;
  DType dtype = DType::kF32;  // in the checkpoint
  const std::vector<hf::Piece>* pieces = nullptr;
  std::vector<DType> piece_dtypes;
};

class Export {
 public:
  Export(const std::filesystem::path& checkpoint, const RunConfig& config,
         const ExportOptions& options)
      : options_(options),
        file_(checkpoint, h5::File::Mode::kRead),
        family_(hf::family_of(config)),
        config_(config_json(checkpoint, config)),
        bindings_(family_.bindings(hf::Settings(config_))) {
    check_manifest(file_);
    plan();
  }

  ExportedModel write(const std::filesystem::path& folder) {
    std::filesystem::create_directories(folder);
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      MOIETY_CHECK(entry.path().extension() != ".safetensors",
                   "{}: the folder has weights already ({}); expected an empty or new one",
                   folder.string(), entry.path().filename().string());
    }
    cut_into_shards();
    for (size_t i = 0; i < shards_.size(); ++i) {
      writers_.push_back(std::make_unique<SafetensorsWriter>(folder / shard_name(i), shards_[i]));
    }
    for (const SliceExport& slice : slices_) write_slice(slice);
    for (const auto& writer : writers_) writer->finish();
    if (shards_.size() > 1) write_index(folder);
    replace_file(folder / "config.json", text_.empty() ? config_.dump(2) + "\n" : text_);
    return {family_.model_type, shard_of_.size(), shards_.size()};
  }

 private:
  /// As it was imported, or written anew.
  Json config_json(const std::filesystem::path& checkpoint, const RunConfig& config) {
    const std::string imported = read_checkpoint_info(checkpoint).hf_config;
    if (!imported.empty() && options_.base_config.empty() && !options_.dtype) {
      text_ = imported;
      return Json::parse(imported);
    }
    hf::Reasons reasons;
    const Json own = family_.config(config, reasons);
    MOIETY_CHECK(reasons.empty(), "the model cannot be written as {}:\n  {}", family_.model_type,
                 join(reasons, "\n  "));
    Json out = !options_.base_config.empty() ? Json::parse(read_file(options_.base_config))
               : !imported.empty()           ? Json::parse(imported)
                                             : Json(Json::Object{});
    for (const auto& [key, value] : own.object()) out.set(key, value);
    return out;
  }

  void plan() {
    std::set<std::string> expected;
    for (const hf::Binding& binding : bindings_) {
      hf::check_binding(binding);
      SavedTensor tensor;
      const bool buffer = binding.role == hf::Role::kBuffer;
      tensor.path = (buffer ? "buffers/" : "parameters/") + binding.name;
      tensor.shape = binding.shape;
      tensor.per_expert = binding.role == hf::Role::kExpert;
      add_slice_paths(tensor, expected);
      for (int64_t i = 0; i < tensor.slices() && file_.exists(tensor.slice_path(i)); ++i) {
        add_slice(tensor, binding, i, buffer);
      }
    }
    check_names(file_, expected, datasets_of(file_, {"parameters", "buffers"}));
    if (text_.empty() && !slices_.empty()) {
      config_.set("dtype", torch_name(slices_.front().piece_dtypes.front()));
    }
  }

  void add_slice(const SavedTensor& tensor, const hf::Binding& binding, int64_t i, bool buffer) {
    SliceExport slice;
    slice.path = tensor.slice_path(i);
    const h5::DatasetInfo info = file_.info(slice.path);
    MOIETY_CHECK(info.dtype && info.shape == tensor.slice_shape(), "{}: /{} is {} {}, expected {}",
                 file_.path().string(), slice.path, info.type, shape_text(info.shape),
                 shape_text(tensor.slice_shape()));
    slice.dtype = *info.dtype;
    slice.pieces = &binding.slices.at(static_cast<size_t>(i));
    slice.piece_dtypes.assign(slice.pieces->size(), slice.dtype);
    if (file_.has_attribute(slice.path, kSourceDtypes)) {
      std::istringstream names(file_.text(slice.path, kSourceDtypes));
      for (DType& dtype : slice.piece_dtypes) {
        std::string name;
        std::getline(names, name, ',');
        dtype = dtype_named(name);
      }
    }
    if (options_.dtype && !buffer) {
      std::fill(slice.piece_dtypes.begin(), slice.piece_dtypes.end(), *options_.dtype);
    }
    slices_.push_back(std::move(slice));
  }

  /// In the model's order; a tensor that is larger than a shard has one for itself.
  void cut_into_shards() {
    uint64_t filled = 0;
    shards_.emplace_back();
    for (const SliceExport& slice : slices_) {
      for (size_t p = 0; p < slice.pieces->size(); ++p) {
        const hf::Piece& piece = (*slice.pieces)[p];
        SafetensorsEntry entry{piece.name, slice.piece_dtypes[p], piece.shape};
        const uint64_t bytes = entry.bytes();
        if (filled > 0 && filled + bytes > static_cast<uint64_t>(options_.shard_bytes)) {
          shards_.emplace_back();
          filled = 0;
        }
        filled += bytes, total_bytes_ += bytes;
        MOIETY_CHECK(shard_of_.emplace(piece.name, shards_.size() - 1).second, "tensor '{}' twice",
                     piece.name);
        shards_.back().push_back(std::move(entry));
      }
    }
  }

  std::string shard_name(size_t i) const {
    if (shards_.size() == 1) return "model.safetensors";
    return fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards_.size());
  }

  void write_slice(const SliceExport& slice) {
    const int64_t elements = hf::elements_of(*slice.pieces), size = size_of(slice.dtype);
    const std::vector<uint8_t> whole = read_checked(file_, slice.path, slice.dtype, elements);
    const int64_t columns = hf::columns_of(*slice.pieces);
    int64_t first = 0;
    for (size_t p = 0; p < slice.pieces->size(); ++p) {
      const hf::Piece& piece = (*slice.pieces)[p];
      std::vector<uint8_t> bytes(static_cast<size_t>(piece.elements() * size));
      hf::take(piece, size, whole.data(), columns, first, bytes.data());
      first += piece.columns();
      bytes = converted(bytes, slice.dtype, slice.piece_dtypes[p]);
      writers_.at(shard_of_.at(piece.name))->write(piece.name, bytes.data());
    }
  }

  void write_index(const std::filesystem::path& folder) const {
    Json::Object map;
    for (const auto& [name, shard] : shard_of_) map.emplace_back(name, shard_name(shard));
    Json index = Json::Object{};
    index.set("metadata", Json::Object{{"total_size", total_bytes_}});
    index.set("weight_map", Json(std::move(map)));
    replace_file(folder / "model.safetensors.index.json", index.dump(2) + "\n");
  }

  ExportOptions options_;
  h5::File file_;
  const hf::Family& family_;
  std::string text_;  // config.json as it was imported, or empty
  Json config_;
  std::vector<hf::Binding> bindings_;
  std::vector<SliceExport> slices_;
  std::vector<std::vector<SafetensorsEntry>> shards_;
  std::map<std::string, size_t> shard_of_;
  std::vector<std::unique_ptr<SafetensorsWriter>> writers_;
  uint64_t total_bytes_ = 0;
};

}  // namespace

ExportedModel export_hf(const std::filesystem::path& checkpoint, const RunConfig& config,
                        const std::filesystem::path& folder, const ExportOptions& options) {
  return Export(checkpoint, config, options).write(folder);
}

}  // namespace moiety
