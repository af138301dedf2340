// Text to train on that every machine has, and how well simple models of it would do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <moiety/export.h>

namespace moiety {

/// Entropy of a byte given the 0, 1 and 2 bytes before it, in nats, from the text's own counts.
struct ByteEntropies {
  double unigram = 0, bigram = 0, trigram = 0;
};
MOIETY_API ByteEntropies byte_entropies(std::string_view text);

/// Headers of C and C++ below `folder`: regular files, by path, each content once.
MOIETY_API std::vector<std::filesystem::path> header_files(const std::filesystem::path& folder);

/// The files one after the other, at most `max_bytes`. Files that are not text (a zero byte) and
/// copies of one seen before are left out. Throws Error when nothing is left.
MOIETY_API std::string gather_text(const std::vector<std::filesystem::path>& files,
                                   int64_t max_bytes);

}  // namespace moiety
