// The part of a checkpoint that is not tensors, and the seal over the whole file.
#include "core/base/check.h"
#include "core/checkpoint/crc32.h"
#include "core/checkpoint/layout.h"

namespace moiety {

namespace {

std::string text_of(const h5::Attribute& value) {
  struct Text {
    std::string operator()(int64_t x) const { return std::to_string(x); }
    std::string operator()(uint64_t x) const { return std::to_string(x); }
    std::string operator()(double x) const { return fmt::format("{:a}", x); }
    std::string operator()(const std::string& x) const { return x; }
    std::string operator()(const std::vector<double>& x) const {
      std::string out;
      for (const double value : x) out += fmt::format("{:a} ", value);
      return out;
    }
  };
  return std::visit(Text{}, value);
}

class Manifest {
 public:
  explicit Manifest(const h5::File& file) : file_(file) {}

  void add_group(const std::string& path) {
    add_line(path, "group");
    add_attributes(path);
    for (const std::string& name : file_.children(path)) {
      std::string child = path;
      if (!child.empty()) child += '/';
      child += name;
      if (file_.is_group(child)) {
        add_group(child);
      } else {
        const h5::DatasetInfo info = file_.info(child);
        add_line(child, info.type + " " + shape_text(info.shape));
        add_attributes(child);
      }
    }
  }
  uint32_t crc() const { return crc_; }

 private:
  void add_attributes(const std::string& path) {
    for (const std::string& name : file_.attributes(path)) {
      if (path.empty() && (name == "complete" || name == "manifest_crc32")) continue;
      add_line(name, text_of(file_.attribute(path, name)));
    }
  }
  void add_line(const std::string& key, const std::string& value) {
    const std::string line = key + "=" + value + "\n";
    crc_ = crc32(line.data(), line.size(), crc_);
  }

  const h5::File& file_;
  uint32_t crc_ = 0;
};

/// Calls visit(name, field) for each field of the state: one list serves writing and reading.
template <class State, class Visit>
void visit_state(State& state, const Visit& visit) {
  visit("batch", state.batch);
  visit("update", state.update);
  visit("tokens", state.tokens);
  visit("seconds", state.seconds);
  visit("sample", state.sample);
  visit("seed", state.seed);
  visit("bad_steps", state.bad_steps);
}

template <class Scaler, class Visit>
void visit_scaler(Scaler& scaler, const Visit& visit) {
  visit("scale", scaler.scale);
  visit("iteration", scaler.iteration);
  visit("last_overflow", scaler.last_overflow);
  visit("hysteresis_left", scaler.hysteresis_left);
  visit("min_scale", scaler.min_scale);
  visit("window", scaler.window);
  visit("hysteresis", scaler.hysteresis);
  visit("dynamic", scaler.dynamic);
  visit("consecutive_hysteresis", scaler.consecutive_hysteresis);
  visit("exhausted", scaler.exhausted);
  visit("raise_at_min", scaler.raise_at_min);
}

template <class T>
h5::Attribute to_attribute(const T& value) {
  if constexpr (std::is_floating_point_v<T>) return double{value};
  if constexpr (std::is_same_v<T, uint64_t>) return value;
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, uint64_t>) return int64_t{value};
}

}  // namespace

static void write_text(h5::File& file, const char* name, const std::string& text) {
  file.write(name, DType::kU8, {static_cast<int64_t>(text.size())}, text.data());
  file.set(name, "crc32", int64_t{crc32(text.data(), text.size())});
}

static std::string read_text(const h5::File& file, const char* name) {
  std::string text(static_cast<size_t>(file.info(name).numel()), '\0');
  file.read(name, DType::kU8, text.data(), static_cast<int64_t>(text.size()));
  return text;
}

void write_info(h5::File& file, const CheckpointInfo& info) {
  file.set("", "format", info.format);
  file.set("", "moiety_version", info.moiety_version);
  const auto writer = [&file](const char* group) {
    file.make_group(group);
    return [&file, group](const char* name, const auto& value) {
      file.set(group, name, to_attribute(value));
    };
  };
  visit_state(info.state, writer("run"));
  visit_scaler(info.state.scaler, writer("loss_scaler"));
  file.make_group("plugins");
  for (const PluginIdentity& plugin : info.plugins) {
    const std::string group = "plugins/" + plugin.kind + "." + plugin.name;
    file.make_group(group);
    file.set(group, "kind", plugin.kind);
    file.set(group, "name", plugin.name);
    file.set(group, "version", plugin.version);
    file.set(group, "file", plugin.file);
    file.set(group, "sha256", plugin.sha256);
  }
  write_text(file, "config", info.resolved_yaml);
  if (!info.hf_config.empty()) write_text(file, "hf_config", info.hf_config);
}

CheckpointInfo read_info(const h5::File& file) {
  CheckpointInfo info;
  info.format = file.integer("", "format");
  MOIETY_CHECK(info.format <= kCheckpointFormat,
               "{}: checkpoint format {}, but this version reads up to {}; use a newer moiety",
               file.path().string(), info.format, kCheckpointFormat);
  info.moiety_version = file.text("", "moiety_version");
  const auto reader = [&file](const char* group) {
    return [&file, group](const char* name, auto& value) {
      using T = std::decay_t<decltype(value)>;
      if constexpr (std::is_floating_point_v<T>) {
        value = file.number(group, name);
      } else {
        value = static_cast<T>(file.integer(group, name));
      }
    };
  };
  visit_state(info.state, reader("run"));
  visit_scaler(info.state.scaler, reader("loss_scaler"));
  for (const std::string& child : file.children("plugins")) {
    const std::string group = "plugins/" + child;
    info.plugins.push_back({file.text(group, "kind"), file.text(group, "name"),
                            file.text(group, "version"), file.text(group, "file"),
                            file.text(group, "sha256")});
  }
  info.resolved_yaml = read_text(file, "config");
  if (file.exists("hf_config")) info.hf_config = read_text(file, "hf_config");
  return info;
}

uint32_t manifest_crc(const h5::File& file) {
  Manifest manifest(file);
  manifest.add_group("");
  return manifest.crc();
}

void check_manifest(const h5::File& file) {
  const std::string name = file.path().string();
  MOIETY_CHECK(file.has_attribute("", "complete") && file.integer("", "complete") == 1,
               "{}: not a complete checkpoint: the mark that is written last is missing (the "
               "writer was interrupted, or this is not a Moiety checkpoint)",
               name);
  const auto expected = static_cast<uint32_t>(file.integer("", "manifest_crc32"));
  const uint32_t got = manifest_crc(file);
  MOIETY_CHECK(got == expected,
               "{}: names, shapes or attributes differ from what was written (manifest CRC-32 "
               "{:08x}, expected {:08x}): the file is corrupt",
               name, got, expected);
}

}  // namespace moiety
