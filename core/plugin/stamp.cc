// Finding a stamp in a file and comparing it with the core's.
#include "core/plugin/stamp.h"

#include <fmt/format.h>

#include <charconv>

#include "core/plugin/elf_file.h"

namespace moiety {
namespace {

// In two pieces, so that this library does not look like a plugin itself.
constexpr std::string_view kMark = "MOIETY_PLUGIN abi=";

/// -1 for what is not a number.
int number(std::string_view text) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : -1;
}

std::pair<int, int> major_minor(const std::string& version) {
  const size_t dot = version.find('.');
  if (dot == std::string::npos) return {number(version), 0};
  return {number(std::string_view(version).substr(0, dot)),
          number(std::string_view(version).substr(dot + 1))};
}

bool covers_one(std::string_view entry, int device) {
  const bool ptx = entry.ends_with("+ptx");
  if (ptx) entry.remove_suffix(4);
  if (entry.empty()) return false;
  const char last = entry.back();
  if (last >= 'a' && last <= 'z') return number(entry.substr(0, entry.size() - 1)) == device;
  const int built = number(entry);
  if (built < 0 || device < built) return false;
  return ptx || built / 10 == device / 10;
}

}  // namespace

std::string Stamp::get(std::string_view key) const {
  const std::string wanted = fmt::format(" {}=", key);
  size_t begin = text.find(wanted);
  if (begin == std::string::npos) return "";
  begin += wanted.size();
  return text.substr(begin, text.find_first_of(" \n", begin) - begin);
}

Stamp read_stamp(const std::filesystem::path& file) {
  const std::string bytes = read_elf_file(file);
  const size_t begin = bytes.find(std::string("\x7f").append(kMark));
  if (begin != std::string::npos) {
    const size_t end = bytes.find_first_of(std::string("\n\0", 2), begin);
    if (end != std::string::npos && bytes[end] == '\n') {
      return {bytes.substr(begin + 1, end - begin - 1)};
    }
  }
  throw PluginError(fmt::format(
      "{} is no plugin: it has no MOIETY_PLUGIN stamp. Was MOIETY_PLUGIN(...) left out?",
      file.string()));
}

const Stamp& host_stamp() {
  static const Stamp stamp{MOIETY_STAMP_TEXT("core", MOIETY_CORE_VERSION)};
  return stamp;
}

void check_stamp(const std::filesystem::path& file, const Stamp& plugin, const Stamp& host) {
  std::string rows;
  const auto differ = [&](const char* key) {
    rows += fmt::format("\n  {:<10} plugin {}  core {}", key, plugin.get(key), host.get(key));
  };
  const auto [major, minor] = major_minor(plugin.get("abi"));
  const auto [core_major, core_minor] = major_minor(host.get("abi"));
  if (major != core_major || minor < 0 || minor > core_minor) differ("abi");
  for (const char* key : {"stdlib", "stldebug", "sanitizer"}) {
    if (plugin.get(key) != host.get(key)) differ(key);
  }
  const std::string cuda = plugin.get("cuda"), core_cuda = host.get("cuda");
  if (cuda != "none" && core_cuda != "none" &&
      major_minor(cuda).first != major_minor(core_cuda).first) {
    differ("cuda");
  }
  if (rows.empty()) return;
  throw PluginError(fmt::format(
      "plugin '{}' {} ({}) was built for another core:{}\nRebuild it against this installation: "
      "cmake -DMoiety_DIR=... && cmake --build .",
      plugin.get("name"), plugin.get("version"), file.string(), rows));
}

bool covers_device(std::string_view sm, int device) {
  if (sm == "any" || sm == "native") return true;
  while (!sm.empty()) {
    const size_t comma = std::min(sm.find(','), sm.size());
    if (covers_one(sm.substr(0, comma), device)) return true;
    sm.remove_prefix(std::min(comma + 1, sm.size()));
  }
  return false;
}

void check_device(const ComponentInfo& component, int device) {
  const std::string sm = component.stamp.get("sm");
  if (component.traits.cuda && covers_device(sm, device)) return;
  const std::string who = fmt::format("{} '{}' ({})", kind_name(component.kind), component.name,
                                      component.file.string());
  if (!component.traits.cuda || sm == "none") {
    throw PluginError(
        fmt::format("{} runs on the CPU only. Build it with nvcc, or set run.device: cpu.", who));
  }
  throw PluginError(
      fmt::format("{} was built for the GPU architectures {}, this GPU is {}. Rebuild it with "
                  "-DCMAKE_CUDA_ARCHITECTURES={}.",
                  who, sm, device, device));
}

}  // namespace moiety
