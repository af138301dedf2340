#include "core/checkpoint/hf_import.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/strings.h"
#include "core/checkpoint/hf_mapping.h"
#include "core/checkpoint/hf_slice.h"
#include "core/checkpoint/writer.h"

namespace moiety {

namespace {

/// Buffers of older files that are no weights: causal masks, rotary frequencies.
bool is_constant(const std::string& name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") ||
         name.ends_with(".rotary_emb.inv_freq");
}

/// A model folder, and which of its tensors were asked for.
class Folder {
 public:
  explicit Folder(const std::filesystem::path& folder)
      : folder_(folder),
        text_(read_file(folder / "config.json")),
        config_(Json::parse(text_)),
        family_(hf::family_of(config_)),
        files_(folder),
        bare_(!files_.contains("transformer.wte.weight") && files_.contains("wte.weight")),
        tied_(hf::Settings(config_).boolean("tie_word_embeddings",
                                            std::string(family_.model_type) == "gpt2")) {}

  const std::string& config_text() const { return text_; }
  const Json& config() const { return config_; }
  std::string yaml() const { return family_.yaml(hf::Settings(config_)); }
  std::vector<hf::Binding> bindings() const { return family_.bindings(hf::Settings(config_)); }
  size_t tensors() const { return used_.size(); }

  DType dtype(const hf::Piece& piece) {
    return files_.dtype(name_in_file(piece.name), piece.shape);
  }
  std::vector<uint8_t> bytes(const hf::Piece& piece) {
    return files_.read_bytes(name_in_file(piece.name), piece.shape);
  }
  std::vector<float> floats(const HfTensor& wanted) {
    return files_.read(name_in_file(wanted.name), wanted.shape);
  }

  void check_unused(const std::vector<std::string>& ignore) const {
    std::vector<std::string> unused;
    for (const std::string& name : files_.names()) {
      const bool head = tied_ && name == "lm_head.weight";
      const bool ignored =
          std::any_of(ignore.begin(), ignore.end(),
                      [&](const std::string& pattern) { return glob_match(pattern, name); });
      if (used_.count(name) == 0 && !is_constant(name) && !head && !ignored) {
        unused.push_back(name);
      }
    }
    const auto shown = std::min<std::ptrdiff_t>(8, std::ssize(unused));
    MOIETY_CHECK(unused.empty(), "{}: {} tensors have no place in the model: {}{}",
                 folder_.string(), unused.size(),
                 join({unused.begin(), unused.begin() + shown}, ", "),
                 unused.size() > 8 ? ", ..." : "");
  }

 private:
  /// GPT-2's own files leave out the prefix that later ones have.
  std::string name_in_file(const std::string& name) {
    constexpr size_t kPrefix = sizeof("transformer.") - 1;
    const bool strip = bare_ && name.starts_with("transformer.");
    return *used_.insert(strip ? name.substr(kPrefix) : name).first;
  }

  std::filesystem::path folder_;
  std::string text_;
  Json config_;
  const hf::Family& family_;
  SafetensorsFolder files_;
  bool bare_, tied_;
  std::set<std::string> used_;
};

/// All of a tensor in f32.
std::vector<float> assemble(const hf::Binding& binding, const HfReader& read) {
  std::vector<float> out;
  for (const std::vector<hf::Piece>& slice : binding.slices) {
    const int64_t columns = hf::columns_of(slice);
    std::vector<float> values(static_cast<size_t>(hf::elements_of(slice)));
    int64_t first = 0;
    for (const hf::Piece& piece : slice) {
      const std::vector<float> from = read({piece.name, piece.shape});
      MOIETY_CHECK(std::ssize(from) == piece.elements(), "{}: {} elements, expected {}", piece.name,
                   from.size(), piece.elements());
      hf::place(piece, sizeof(float), reinterpret_cast<const uint8_t*>(from.data()), columns, first,
                reinterpret_cast<uint8_t*>(values.data()));
      first += piece.columns();
    }
    out.insert(out.end(), values.begin(), values.end());
  }
  return out;
}

/// f32 from elements of a float type.
std::vector<uint8_t> widened(const std::vector<uint8_t>& bytes, DType dtype) {
  if (dtype == DType::kF32) return bytes;
  std::vector<uint8_t> out(2 * bytes.size());
  for (size_t i = 0; i < bytes.size(); i += 2) {
    BFloat16 b;
    Float16 h;
    std::memcpy(&b.bits, &bytes[i], 2);
    h.bits = b.bits;
    const float x = dtype == DType::kBF16 ? static_cast<float>(b) : static_cast<float>(h);
    std::memcpy(&out[2 * i], &x, sizeof x);
  }
  return out;
}

/// Streams one tensor, slice by slice, in the dtype that all of its pieces have, else in f32.
class TensorImport {
 public:
  TensorImport(Folder& folder, const hf::Binding& binding) : folder_(folder), binding_(binding) {
    hf::check_binding(binding);
    tensor_.path = (binding.role == hf::Role::kBuffer ? "buffers/" : "parameters/") + binding.name;
    tensor_.shape = binding.shape;
    tensor_.per_expert = binding.role == hf::Role::kExpert;
  }

  void write(CheckpointWriter& writer) {
    for (int64_t i = 0; i < std::ssize(binding_.slices); ++i) {
      const std::vector<hf::Piece>& slice = binding_.slices[static_cast<size_t>(i)];
      std::vector<DType> dtypes;
      dtypes.reserve(slice.size());
      for (const hf::Piece& piece : slice) dtypes.push_back(folder_.dtype(piece));
      const bool mixed = std::any_of(dtypes.begin(), dtypes.end(),
                                     [&](DType dtype) { return dtype != dtypes[0]; });
      // A buffer is read as it lies, and gates have theirs in f32.
      const bool widen = mixed || binding_.role == hf::Role::kBuffer;
      tensor_.dtype = widen ? DType::kF32 : dtypes[0];
      const std::vector<uint8_t> bytes = read(slice, dtypes);
      writer.add(tensor_, i, bytes.data());
      if (!widen || (!mixed && dtypes[0] == DType::kF32)) continue;
      std::vector<std::string> names;
      names.reserve(dtypes.size());
      for (const DType dtype : dtypes) names.emplace_back(name_of(dtype));
      writer.set(tensor_, i, kSourceDtypes, join(names, ","));
    }
  }

 private:
  std::vector<uint8_t> read(const std::vector<hf::Piece>& slice, const std::vector<DType>& dtypes) {
    const int64_t columns = hf::columns_of(slice), size = size_of(tensor_.dtype);
    std::vector<uint8_t> out(static_cast<size_t>(hf::elements_of(slice) * size));
    int64_t first = 0;
    for (size_t p = 0; p < slice.size(); ++p) {
      std::vector<uint8_t> bytes = folder_.bytes(slice[p]);
      if (dtypes[p] != tensor_.dtype) bytes = widened(bytes, dtypes[p]);
      hf::place(slice[p], size, bytes.data(), columns, first, out.data());
      first += slice[p].columns();
    }
    return out;
  }

  Folder& folder_;
  const hf::Binding& binding_;
  SavedTensor tensor_;
};

}  // namespace

std::vector<NamedTensor> map_hf(const Json& config, const HfReader& read, bool buffers) {
  std::vector<NamedTensor> out;
  for (const hf::Binding& binding : hf::family_of(config).bindings(hf::Settings(config))) {
    const bool buffer = binding.role == hf::Role::kBuffer;
    if (buffer && !buffers) continue;
    out.push_back({binding.name, binding.shape, binding.role == hf::Role::kExpert, buffer,
                   assemble(binding, read)});
  }
  return out;
}

std::string hf_config_yaml(const std::filesystem::path& folder) {
  const Json config = Json::parse(read_file(folder / "config.json"));
  return hf::family_of(config).yaml(hf::Settings(config));
}

ImportedModel import_hf(const std::filesystem::path& folder) {
  Folder files(folder);
  ImportedModel model;
  model.yaml = files.yaml();
  model.tensors =
      map_hf(files.config(), [&](const HfTensor& wanted) { return files.floats(wanted); });
  files.check_unused({});
  return model;
}

ConvertedModel convert_hf(const std::filesystem::path& folder, const std::filesystem::path& file,
                          const std::string& moiety_version,
                          const std::vector<std::string>& ignore) {
  Folder files(folder);
  CheckpointInfo info;
  info.moiety_version = moiety_version;
  // What a configuration needs beside the model, so that the file can be loaded by itself.
  info.resolved_yaml = files.yaml() + "train_batch_size: 1\ndata:\n  type: synthetic\n";
  info.hf_config = files.config_text();
  const std::vector<hf::Binding> bindings = files.bindings();
  for (const hf::Binding& binding : bindings) {  // all names, shapes and dtypes before any data
    for (const auto& slice : binding.slices) {
      for (const hf::Piece& piece : slice) files.dtype(piece);
    }
  }
  files.check_unused(ignore);
  CheckpointWriter writer(file, info);
  for (const hf::Binding& binding : bindings) TensorImport(files, binding).write(writer);
  writer.finish();
  return {files.tensors(), files.yaml()};
}

}  // namespace moiety
