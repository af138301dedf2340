// moiety plugins new: writes examples/acme_<kind> under another name. The build embeds those
// folders' files, so what is written here is what the tests build.
#include <cstdio>
#include <utility>

#include <moiety/error.h>

#include "apps/commands.h"
#include "apps/plugin_template.h"
#include "apps/plugins.h"
#include "core/base/files.h"
#include "core/plugin/kinds.h"

namespace moiety::apps {
namespace {

namespace fs = std::filesystem;

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

/// my_gate -> MyGate
std::string pascal_case(const std::string& name) {
  std::string result;
  bool start = true;
  for (const char c : name) {
    if (c == '_') {
      start = true;
      continue;
    }
    result += start && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    start = false;
  }
  return result;
}

std::string renamed(std::string text, const std::string& name) {
  // Through a mark, so that a name which contains "acme" is not replaced twice.
  replace_all(text, "acme", "\x01");
  replace_all(text, "Acme", "\x02");
  replace_all(text, "\x01", name);
  replace_all(text, "\x02", pascal_case(name));
  return text;
}

}  // namespace

int new_plugin(const std::string& kind, const std::string& name, fs::path directory) {
  require_kind(kind);
  if (!is_component_name(name)) {
    throw ConfigError("plugins new " + kind + " '" + name +
                      "': expected a name of lower case letters, "
                      "digits and _, a letter first, at most 64");
  }
  if (directory.empty()) directory = name + "_" + kind;
  if (fs::exists(directory) && !(fs::is_directory(directory) && fs::is_empty(directory))) {
    throw ConfigError("plugins new: " + directory.string() +
                      " exists and is not an empty folder; give another with --directory");
  }
  fs::create_directories(directory);
  const std::string project = "acme_" + kind + "/";
  for (const auto& [file, text] : embedded_files()) {
    if (!file.starts_with(project)) continue;
    const fs::path path = directory / renamed(std::string(file.substr(project.size())), name);
    replace_file(path, renamed(std::string(text), name));
    std::printf("wrote %s\n", path.c_str());
  }
  std::printf(
      "next:\n  cmake -S %s -B %s/build -DMoiety_DIR=<prefix>/lib/cmake/Moiety\n"
      "  cmake --build %s/build && ctest --test-dir %s/build --output-on-failure\n",
      directory.c_str(), directory.c_str(), directory.c_str(), directory.c_str());
  return kOk;
}

}  // namespace moiety::apps
