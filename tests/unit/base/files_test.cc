#include "core/base/files.h"

#include <gtest/gtest.h>

#include <moiety/error.h>

namespace moiety {

TEST(Files, ReplaceIsWholeAndLeavesNoTemporary) {
  const auto file = std::filesystem::path(testing::TempDir()) / "moiety_files_test.txt";
  replace_file(file, "one");
  replace_file(file, "two");
  EXPECT_EQ(read_file(file), "two");
  EXPECT_FALSE(std::filesystem::exists(file.string() + ".tmp"));
}

TEST(Files, MissingFileNamesItself) {
  try {
    read_file("/nowhere/at/all");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("/nowhere/at/all: cannot be read"), std::string::npos);
  }
}

TEST(Files, Sha256OfKnownTexts) {
  const auto file = std::filesystem::path(testing::TempDir()) / "moiety_sha_test.txt";
  replace_file(file, "");
  EXPECT_EQ(sha256_of_file(file),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  replace_file(file, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
  EXPECT_EQ(sha256_of_file(file),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

}  // namespace moiety
