// A model's first weights from a checkpoint of another: fewer or more layers, dense to MoE.
#include <optional>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/checkpoint/load.h"
#include "core/checkpoint/upcycle.h"
#include "core/model/initialize.h"

namespace moiety {

namespace {

constexpr const char* kNoise = "/upcycling_noise";

class Initializer {
 public:
  Initializer(const InitFrom& from, uint64_t seed, ParameterTable& table)
      : from_(from),
        seed_(seed),
        table_(table),
        file_(find_checkpoint(from.checkpoint), h5::File::Mode::kRead) {
    check_manifest(file_);
  }

  void run() {
    for (const SavedTensor& tensor : tensors_of(table_, /*state=*/false)) plan(tensor);
    check_names(file_, expected_, found());
    // Nothing is written before everything is known to fit.
    for (const SavedTensor& tensor : copies_) check_shapes(file_, tensor);
    for (const TableEntry* entry : upcycled_) check_upcycled(*entry);
    for (const SavedTensor& tensor : copies_) load_tensor(file_, tensor, table_);
    for (TableEntry* entry : upcycled_) write_upcycled(*entry);
  }

 private:
  /// "layers.3." of the model as its prefix in the checkpoint.
  std::string source_prefix(const TableEntry& entry) const {
    return fmt::format("layers.{}.", source_layer(entry.layer));
  }
  int64_t source_layer(int64_t layer) const {
    return from_.layers.empty() ? layer : from_.layers.at(static_cast<size_t>(layer));
  }
  /// What follows "layers.3." in the entry's name.
  static std::string part_of(const TableEntry& entry) {
    return entry.name.substr(fmt::format("layers.{}.", entry.layer).size());
  }

  void plan(SavedTensor tensor) {
    TableEntry& entry = *tensor.entry;
    if (entry.layer >= 0) {
      const std::string group = entry.buffer ? "buffers/" : "parameters/";
      tensor.path = group + source_prefix(entry) + part_of(entry);
    }
    if (from_.upcycle && is_of_new_layer(entry)) {
      if (const auto dense = dense_source(entry)) add_slice_paths(*dense, expected_);
      upcycled_.push_back(&entry);
      return;
    }
    add_slice_paths(tensor, expected_);
    copies_.push_back(std::move(tensor));
  }

  /// Whether it belongs to a MoE layer whose source is a dense one.
  bool is_of_new_layer(const TableEntry& entry) const {
    return entry.layer >= 0 && part_of(entry).starts_with("moe.") &&
           file_.exists("parameters/" + source_prefix(entry) + "ffn.w_in");
  }

  /// The tensor of the dense layer that this one is made of, if it is made of one.
  std::optional<SavedTensor> dense_source(const TableEntry& entry) const {
    const std::string part = part_of(entry);
    std::string name;
    if (part.starts_with("moe.experts.")) {
      name = part.substr(sizeof("moe.experts.") - 1);
    } else if (part.starts_with("moe.dense.") && has_coefficient(entry.layer)) {
      name = part.substr(sizeof("moe.dense.") - 1);
    } else {
      return std::nullopt;
    }
    SavedTensor source;
    source.path = "parameters/" + source_prefix(entry) + "ffn." + name;
    if (file_.exists(source.path)) source.shape = file_.info(source.path).shape;
    return source;
  }
  bool has_coefficient(int64_t layer) const {
    return table_.find(fmt::format("layers.{}.moe.coefficient.weight", layer)) != nullptr;
  }

  /// All that the model's layers come from; what lies in other layers may stay where it is.
  std::set<std::string> found() const {
    std::set<std::string> layers, kept;
    for (const TableEntry& entry : table_.entries()) {
      if (entry.layer >= 0) layers.insert(source_prefix(entry));
    }
    for (const std::string& path : datasets_of(file_, {"parameters", "buffers"})) {
      const std::string name = path.substr(path.find('/') + 1);
      const size_t dot = name.find('.', sizeof("layers.") - 1);
      const bool of_layer = name.starts_with("layers.") && dot != std::string::npos;
      if (!of_layer || from_.layers.empty() || layers.count(name.substr(0, dot + 1)) != 0) {
        kept.insert(path);
      }
    }
    return kept;
  }

  Upcycling upcycling(int64_t layer) const {
    const std::string prefix = fmt::format("layers.{}.moe.experts.", layer);
    const TableEntry* w_in = table_.find(prefix + "w_in");
    const TableEntry* w_out = table_.find(prefix + "w_out");
    MOIETY_CHECK(w_in != nullptr && w_out != nullptr && w_out->shape.size() == 3,
                 "model.init_from.upcycle: the experts of layer {} have no w_in and w_out", layer);
    Upcycling u;
    u.experts = w_out->shape[0], u.hidden = w_out->shape[1], u.noise = from_.noise;
    const std::string source = fmt::format("parameters/layers.{}.ffn.w_out", source_layer(layer));
    const std::vector<int64_t> dense = file_.info(source).shape;
    const std::vector<int64_t> dense_in =
        file_.info(fmt::format("parameters/layers.{}.ffn.w_in", source_layer(layer))).shape;
    u.dense_hidden = dense.at(1);
    check_upcycling(u, source_layer(layer));
    MOIETY_CHECK(dense.at(2) == w_out->shape[2] && dense_in.size() == w_in->shape.size(),
                 "model.init_from.upcycle: layer {} of the checkpoint and the experts differ in "
                 "more than the width: w_in {} and {}; is model.hidden the same, and moe.expert "
                 "the gated or plain function that model.activation names there?",
                 source_layer(layer), shape_text(dense_in), shape_text(w_in->shape));
    return u;
  }

  void check_upcycled(const TableEntry& entry) const {
    upcycling(entry.layer);
    const std::optional<SavedTensor> dense = dense_source(entry);
    if (!dense || !part_of(entry).starts_with("moe.dense.")) return;
    MOIETY_CHECK(dense->shape == entry.shape,
                 "model.init_from.upcycle: the dense branch {} is {}, the checkpoint's dense layer "
                 "{}; expected the same",
                 entry.name, shape_text(entry.shape), shape_text(dense->shape));
  }

  void write_upcycled(TableEntry& entry) {
    const std::string part = part_of(entry);
    const std::optional<SavedTensor> dense = dense_source(entry);
    if (part == "moe.router.weight") {
      const Upcycling u = upcycling(entry.layer);
      table_.write(entry, grouped_router(u, table_.read(entry)));
    } else if (dense && part.starts_with("moe.experts.")) {
      const std::string name = part.substr(sizeof("moe.experts.") - 1);
      table_.write(entry, upcycled(upcycling(entry.layer), name, read_floats(file_, *dense),
                                   initial_key(seed_, entry.name + kNoise)));
    } else if (dense) {
      table_.write(entry, read_floats(file_, *dense));
    } else if (part == "moe.dense.w_out" || part == "moe.dense.b_out") {
      // A branch that is added starts with nothing to add.
      table_.write(entry, std::vector<float>(static_cast<size_t>(entry.parameter.value.numel())));
    }
  }

  const InitFrom& from_;
  uint64_t seed_;
  ParameterTable& table_;
  h5::File file_;
  std::set<std::string> expected_;
  std::vector<SavedTensor> copies_;
  std::vector<TableEntry*> upcycled_;
};

}  // namespace

void initialize_from(const InitFrom& from, uint64_t seed, ParameterTable& table) {
  Initializer(from, seed, table).run();
}

}  // namespace moiety
