#include "core/config/import/deepspeed.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <moiety/error.h>

#include "core/base/strings.h"
#include "core/config/import/import.h"
#include "core/config/keys.h"
#include "core/config/read_keys.h"
#include "core/config/scalar.h"
#include "core/config/scheduler.h"

namespace moiety::config {
namespace {

/// Scalars and lists of scalars; "" for anything else.
std::string text_of(const Node& node) {
  if (node.is_null()) return "null";
  if (node.is_scalar()) return node.quoted ? string_text(node.text) : node.text;
  if (!node.is_list()) return "";
  std::string out = "[";
  for (const Node& item : node.items) out += (out.size() > 1 ? ", " : "") + text_of(item);
  return out + "]";
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool is_true(const Node& node) { return to_bool(node).value_or(false); }

class Reader {
 public:
  Reader(std::string source, Imported& out) : source_(std::move(source)), out_(out) {}

  void read(const Node& map, const std::string& section) {
    for (const Node::Entry& entry : map.entries) {
      const std::string path = child_path(section, entry.key);
      if (is_note(entry.key) || entry.key.starts_with("_")) {
        out_.drop(source_ + path, "a note");
      } else if (entry.value.is_scalar() && entry.value.text == "auto") {
        out_.drop(source_ + path, "\"auto\": whoever starts DeepSpeed fills it in");
      } else if (const DeepSpeedName* name = other_name(path)) {
        out_.set(name->ours, text_of(entry.value), source_ + path, name->note);
      } else if (const Key* key = Keys::all().find(section, entry.key)) {
        read_key(*key, path, entry.value);
      } else if (Keys::all().is_section(path) && entry.value.is_map()) {
        read(entry.value, path);
      } else {
        refuse_unknown(section, entry.key);
      }
    }
  }

 private:
  static const DeepSpeedName* other_name(const std::string& path) {
    for (const DeepSpeedName& name : deepspeed_names()) {
      if (path == name.path) return &name;
    }
    return nullptr;
  }

  void read_key(const Key& key, const std::string& path, const Node& node) {
    switch (key.role) {
      case KeyRole::kAccepted: out_.drop(source_ + path, key.reason); break;
      case KeyRole::kLater:
        if (is_off(node, key)) {
          out_.drop(source_ + path, "switched off");
        } else {
          out_.refuse(source_ + path, later_text(key));
        }
        break;
      case KeyRole::kComponent:
      case KeyRole::kScheduler: read_component(key, node); break;
      default:
        if (node.is_null()) {
          out_.drop(source_ + path, "null stands for the default");
        } else {
          // Where the name is ours, nothing needs to be said about it.
          out_.set(key.path(), text_of(node), path == key.path() ? file() : source_ + path);
        }
    }
  }

  void read_component(const Key& key, const Node& node) {
    const Node::Entry* type = node.is_map() ? node.find("type") : nullptr;
    if (type == nullptr || !type->value.is_scalar()) {
      out_.refuse(source_ + key.path(), "expected {\"type\": ..., \"params\": {...}}");
      return;
    }
    const std::string name = known_name(key, type->value.text);
    const Node::Entry* params = node.find("params");
    std::string source = source_ + key.path() + " " + type->value.text;
    if (!out_.has_type(key.path(), name) && params != nullptr) source += " with its params";
    if (!out_.set_type(key.path(), name, source)) return;
    for (const Node::Entry& entry : node.entries) {
      if (entry.key == "type" || entry.key == "params") continue;
      const bool off = !is_true(entry.value);
      const std::string path = child_path(key.path(), entry.key);
      if (off) out_.drop(source_ + path, "switched off");
      if (!off) out_.refuse(source_ + path, "unknown key of a component");
    }
    if (params == nullptr || !params->value.is_map()) return;
    for (const Node::Entry& entry : params->value.entries) {
      read_param(key.path() + ".params." + entry.key, entry, params->value);
    }
  }

  void read_param(const std::string& path, const Node::Entry& entry, const Node& params) {
    if (entry.value.is_scalar() && entry.value.text == "auto") {
      out_.drop(source_ + path, "\"auto\": whoever starts DeepSpeed fills it in");
    } else if (path == "optimizer.params.torch_adam") {
      out_.drop(source_ + path, "there is one implementation");
      if (is_true(entry.value) && params.find("weight_decay") == nullptr) {
        out_.set("optimizer.params.weight_decay", "0.01", source_ + path,
                 "With torch_adam the default is torch's 0.01 and not DeepSpeed's 0.");
      }
    } else if (path == "optimizer.params.adam_w_mode" &&
               out_.find("optimizer.type")->value == "adamw") {
      out_.drop(source_ + path, "AdamW decays so always, in DeepSpeed too");
    } else if (path == "optimizer.params.bias_correction" && is_true(entry.value)) {
      out_.drop(source_ + path, "always");
    } else if (path == "optimizer.params.amsgrad" && !is_true(entry.value)) {
      out_.drop(source_ + path, "switched off");
    } else if (path == "optimizer.params.max_grad_norm") {
      out_.refuse(source_ + path, "DeepSpeed raises an error; its key is gradient_clipping");
    } else {
      out_.set(path, text_of(entry.value), file());
    }
  }

  /// "ds_config.json" of "ds_config.json: ".
  std::string file() const { return source_.substr(0, source_.rfind(':')); }

  /// The spelling of ours: plugins are in lower case, schedules as DeepSpeed writes them.
  std::string known_name(const Key& key, const std::string& text) const {
    if (key.role == KeyRole::kComponent) return lower(text);
    for (const SchedulerType& type : scheduler_types()) {
      if (lower(type.name) == lower(text)) return type.name;
    }
    return text;
  }

  void refuse_unknown(const std::string& section, const std::string& name) {
    std::string text = "unknown key" + did_you_mean(name, Keys::all().children(section));
    if (section.empty()) text += "; DeepSpeed ignores such a key without a word";
    out_.refuse(source_ + child_path(section, name), text);
  }

  std::string source_;
  Imported& out_;
};

/// expert_parallel_size is a matter of layout: what the ranks cannot hold is one rank's.
void fit_ranks(int64_t world_size, Imported& out) {
  const std::string path = "moe.expert_parallel_size";
  const int64_t size = out.integer(path, 1);
  if (size <= 1 || (size <= world_size && world_size % size == 0)) return;
  const std::string source = out.find(path)->source;
  out.set(
      path, "1", source,
      std::to_string(size) + " in the source, which " + std::to_string(world_size) +
          (world_size == 1 ? " rank" : " ranks") +
          " cannot be divided into: all experts are on every rank. --world-size N says how many "
          "ranks there are; the size has to divide them and the number of experts.");
}

void add_notes(Imported& out) {
  bool block = false;
  for (const DeepSpeedNote& note : deepspeed_notes()) {
    const std::string path = note.path;
    if (path == "moe") {
      for (const char* key : {"moe.enabled", "moe.num_experts", "moe.expert_parallel_size"}) {
        if (!block && out.find(key) != nullptr) out.note(key, note.text), block = true;
      }
      continue;
    }
    const ImportedKey* key = out.find(path);
    const std::string value = note.value;
    if (path == "fp16.enabled" && out.integer("zero_optimization.stage", 0) > 0) continue;
    if (key != nullptr && (value.empty() || value == key->value)) out.note(path, note.text);
  }
}

}  // namespace

std::string without_comments(const std::string& json) {
  std::string out;
  bool quoted = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i], next = i + 1 < json.size() ? json[i + 1] : '\0';
    if (quoted) {
      out += c;
      if (c == '\\' && next != '\0') out += json[++i];
      if (c == '"') quoted = false;
    } else if (c == '/' && next == '/') {
      while (i + 1 < json.size() && json[i + 1] != '\n') ++i;
    } else if (c == '/' && next == '*') {
      for (i += 2; i < json.size() && !(json[i - 1] == '*' && json[i] == '/' && i > 2); ++i) {
        if (json[i] == '\n') out += '\n';
      }
    } else {
      quoted = c == '"';
      out += c == '\t' ? ' ' : c;
    }
  }
  return out;
}

void read_deepspeed(const Node& root, const std::string& source, int64_t world_size,
                    Imported& out) {
  Reader(source, out).read(root, "");
  fit_ranks(world_size, out);
  add_notes(out);
}

void add_deepspeed_defaults(Imported& out) {
  out.set_default("gradient_clipping", "1.0", "not given: DeepSpeed's default",
                  "1.0 since DeepSpeed 0.19.3; earlier releases did not clip: 0 for those.");
  out.set_default("run.loss_reduction", "micro_batch", "as DeepSpeed",
                  "The mean of the micro-batches' means. `token` weighs every token of the batch "
                  "alike.");
  if (out.find("moe.num_experts") != nullptr) {
    out.set_default("moe.expert_initialization", "identical", "as DeepSpeed",
                    "DeepSpeed's experts start as copies of one; `independent` is the default "
                    "here.");
  }
  const bool micro = out.find("train_micro_batch_size_per_gpu") != nullptr;
  if (!micro && out.find("train_batch_size") != nullptr &&
      out.integer("gradient_accumulation_steps", 1) == 1) {
    out.note("train_batch_size",
             "One micro-batch of all these sequences divided by the ranks, as in DeepSpeed; set "
             "train_micro_batch_size_per_gpu where that is too much memory.");
  }
}

void add_what_is_missing(Imported& out) {
  if (out.find("train_batch_size") == nullptr) {
    out.set_default("train_micro_batch_size_per_gpu", "1", "none is given");
  }
  if (out.find("data.type") != nullptr) return;
  out.set_type("data", "synthetic", "random tokens",
               "Put your data here: {type: text, params: {files: [...]}}.");
}

}  // namespace moiety::config

namespace moiety {

ImportResult import_deepspeed(const std::string& text, const std::string& shown_name,
                              const ImportOptions& options, PluginRegistry& plugins) {
  using namespace config;
  const Node root = parse_yaml(without_comments(text), shown_name);
  if (!root.is_map() || root.entries.empty()) {
    throw ConfigError(shown_name + ": expected a map of DeepSpeed's keys, got " +
                      (root.is_map() ? "nothing" : "a value"));
  }
  const int64_t world_size = std::max<int64_t>(1, options.world_size);
  Imported out("import-ds", plugins);
  read_deepspeed(root, "", world_size, out);
  add_deepspeed_defaults(out);
  add_what_is_missing(out);
  out.note("", "a ds_config does not describe the model; the section model is yours to write");
  out.settle(world_size);
  return {out.yaml(), out.refusals(), out.world_size()};
}

}  // namespace moiety
