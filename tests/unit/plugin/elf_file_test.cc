// Files that must be refused before dlopen sees them: a truncated one could end the process.
#include <fstream>

#include "core/base/files.h"
#include "core/plugin/stamp.h"
#include "tests/unit/plugin/fixture.h"

namespace moiety {
namespace {

class ElfFile : public testing::Test {
 protected:
  std::string refusal(const std::string& bytes) {
    const auto file = folder_.path() / "p.so";
    std::ofstream(file, std::ios::binary) << bytes;
    return replaced(message_of<PluginError>([&] { read_stamp(file); }),
                    folder_.path().string() + "/", "");
  }
  TemporaryFolder folder_;
};

TEST_F(ElfFile, Missing) {
  EXPECT_EQ(message_of<PluginError>([] { read_stamp("nowhere.so"); }),
            "plugin nowhere.so: no such file");
}

TEST_F(ElfFile, AFolder) {
  EXPECT_EQ(message_of<PluginError>([&] { read_stamp(folder_.path()); }),
            "plugin " + folder_.path().string() + ": cannot be read");
}

TEST_F(ElfFile, NotAnElfFile) {
  const char* const expected =
      "p.so is not a shared library: it has no ELF header. Build it with moiety_add_plugin().";
  EXPECT_EQ(refusal("\x7fMOIETY_PLUGIN abi=1.0 stdlib=any name=text version=1\n"), expected);
  EXPECT_EQ(refusal(""), expected);
}

TEST_F(ElfFile, TruncatedAtEveryPlace) {
  const std::string whole = read_file(plugin_file("plain"));
  for (const size_t size :
       {size_t{4}, size_t{30}, size_t{64}, size_t{200}, whole.size() / 2, whole.size() - 1}) {
    const std::string text = refusal(whole.substr(0, size));
    EXPECT_TRUE(text.starts_with("p.so is cut short: it has " + std::to_string(size) + " bytes,"))
        << text;
  }
  EXPECT_EQ(refusal(whole), "(no exception)");
}

TEST_F(ElfFile, AnotherProcessor) {
  std::string bytes = read_file(plugin_file("plain"));
  bytes[18] = 8;  // EM_MIPS
  EXPECT_TRUE(refusal(bytes).starts_with("p.so is for another processor (ELF machine 8,"));
}

}  // namespace
}  // namespace moiety
