// Where the plugins of tests/plugins lie, and how their messages are compared.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include <moiety/error.h>

namespace moiety {

inline std::filesystem::path plugin_folder() {
  return std::filesystem::path(MOIETY_BINARY_DIR) / "bin/tests/plugins";
}
inline std::filesystem::path plugin_file(const std::string& name) {
  return plugin_folder() / ("moiety_objective_" + name + ".so");
}

/// `text` with every occurrence of `from` as `to`.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

/// What the exception of type E says that f() throws, with the plugins' folder left out.
template <class E, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return replaced(e.what(), plugin_folder().string() + "/", "");
  } catch (const std::exception& e) {
    return std::string("(another exception) ") + e.what();
  }
  return "(no exception)";
}

/// A folder that is gone after the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "moiety_test_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw Error("no temporary folder");
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace moiety
