#include "core/train/corpus.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_set>

#include "core/base/check.h"
#include "core/base/files.h"

namespace moiety {

namespace fs = std::filesystem;

namespace {

/// Conditional entropy of the last `contexts`-indexed byte: counts[context * 256 + byte].
double conditional_entropy(const std::vector<int64_t>& counts) {
  double nats = 0, total = 0;
  for (size_t context = 0; context < counts.size(); context += 256) {
    double here = 0;
    for (size_t b = 0; b < 256; ++b) here += static_cast<double>(counts[context + b]);
    for (size_t b = 0; b < 256; ++b) {
      const auto n = static_cast<double>(counts[context + b]);
      if (n > 0) nats -= n * std::log(n / here);
    }
    total += here;
  }
  return total > 0 ? nats / total : 0;
}

}  // namespace

ByteEntropies byte_entropies(std::string_view text) {
  std::vector<int64_t> one(256), two(256 * 256), three(256 * 256 * 256);
  size_t context = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    context = (context << 8 | static_cast<unsigned char>(text[i])) & 0xffffff;
    ++one[context & 0xff];
    if (i >= 1) ++two[context & 0xffff];
    if (i >= 2) ++three[context];
  }
  return {conditional_entropy(one), conditional_entropy(two), conditional_entropy(three)};
}

std::vector<fs::path> header_files(const fs::path& folder) {
  static const std::set<std::string> kEndings = {"", ".h", ".hh", ".hpp", ".hxx", ".ipp", ".tcc"};
  MOIETY_CHECK(fs::is_directory(folder), "{}: no such folder; name texts with --text FILE",
               folder.string());
  std::vector<fs::path> files;
  const auto options = fs::directory_options::skip_permission_denied;
  for (const auto& entry : fs::recursive_directory_iterator(folder, options)) {
    if (entry.is_symlink() || !entry.is_regular_file()) continue;
    if (kEndings.count(entry.path().extension().string()) != 0) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string gather_text(const std::vector<fs::path>& files, int64_t max_bytes) {
  std::string text;
  std::unordered_set<std::string> seen;
  for (const fs::path& file : files) {
    const int64_t room = max_bytes - static_cast<int64_t>(text.size());
    if (room <= 0) break;
    std::string content = read_file(file);
    if (content.find('\0') != std::string::npos || !seen.insert(content).second) continue;
    text += content.substr(0, static_cast<size_t>(room));
  }
  MOIETY_CHECK(!text.empty(), "no text found in {} file(s); name some with --text FILE",
               files.size());
  return text;
}

}  // namespace moiety
