// Entropies of texts that can be counted by hand, and the gathering of files.
#include "core/train/corpus.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include <moiety/error.h>

#include "core/base/files.h"

namespace moiety {
namespace {

namespace fs = std::filesystem;

TEST(ByteEntropies, OfAPeriodicText) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "aabb";
  const ByteEntropies e = byte_entropies(text);
  EXPECT_NEAR(e.unigram, std::log(2), 1e-6);
  EXPECT_NEAR(e.bigram, std::log(2), 1e-3);  // after an a: an a or a b
  EXPECT_NEAR(e.trigram, 0, 1e-9);           // two bytes tell where in the period we are
}

TEST(ByteEntropies, OfShortTexts) {
  EXPECT_EQ(byte_entropies("").unigram, 0);
  EXPECT_EQ(byte_entropies("x").bigram, 0);
}

TEST(Corpus, GathersTextOnceAndNothingElse) {
  const fs::path folder = fs::temp_directory_path() / ("moiety_corpus_" + std::to_string(getpid()));
  fs::create_directories(folder / "b");
  replace_file(folder / "b" / "one.h", "first\n");
  replace_file(folder / "a.hpp", "second\n");
  replace_file(folder / "copy.h", "second\n");
  replace_file(folder / "binary.h", std::string("\0x", 2));
  replace_file(folder / "picture.png", "third\n");
  const std::vector<fs::path> files = header_files(folder);
  EXPECT_EQ(files.size(), 4u);
  EXPECT_EQ(gather_text(files, 1000), "second\nfirst\n");
  EXPECT_EQ(gather_text(files, 9), "second\nfi");
  EXPECT_THROW(gather_text({folder / "binary.h"}, 1000), Error);
  EXPECT_THROW(header_files(folder / "none"), Error);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace moiety
