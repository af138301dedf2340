// Stamps: reading, and one test for each rule by which the core takes or refuses a plugin.
#include "core/plugin/stamp.h"

#include "tests/unit/plugin/fixture.h"

namespace moiety {
namespace {

const char* const kHost =
    "MOIETY_PLUGIN abi=1.2 stdlib=libstdc++-cxx11abi1 stldebug=0 sanitizer=none cuda=13.0 sm=none "
    "license=x cxx=gcc12 name=core version=1";

/// Whether the core kHost takes a plugin with one key changed; the difference printed otherwise.
std::string verdict(const std::string& from, const std::string& to) {
  const Stamp plugin{replaced(replaced(kHost, "name=core", "name=acme"), from, to)};
  const std::string text =
      message_of<PluginError>([&] { check_stamp("p.so", plugin, Stamp{kHost}); });
  const size_t row = text.find("\n  ");
  return row == std::string::npos ? text : text.substr(row + 3, text.find('\n', row + 1) - row - 3);
}
constexpr const char* kTaken = "(no exception)";

TEST(Stamp, ReadsKeys) {
  const Stamp stamp = read_stamp(plugin_file("plain"));
  EXPECT_EQ(stamp.get("name"), "plain");
  EXPECT_EQ(stamp.get("version"), "1.2.3");
  EXPECT_EQ(stamp.get("license"), "Apache-2.0");
  EXPECT_EQ(stamp.get("sm"), "any");
  EXPECT_EQ(stamp.get("abi"), host_stamp().get("abi"));
  EXPECT_EQ(stamp.get("absent"), "");
}

TEST(Stamp, TheCoreIsNoPlugin) {
  const auto core = std::filesystem::path(MOIETY_BINARY_DIR) / "lib/libmoiety_core.so";
  EXPECT_EQ(message_of<PluginError>([&] { read_stamp(core); }),
            core.string() +
                " is no plugin: it has no MOIETY_PLUGIN stamp. Was MOIETY_PLUGIN(...) "
                "left out?");
}

TEST(Stamp, AbiMajorEqualMinorNotAbove) {
  EXPECT_EQ(verdict("abi=1.2", "abi=1.2"), kTaken);
  EXPECT_EQ(verdict("abi=1.2", "abi=1.0"), kTaken);
  EXPECT_EQ(verdict("abi=1.2", "abi=1.3"), "abi        plugin 1.3  core 1.2");
  EXPECT_EQ(verdict("abi=1.2", "abi=2.0"), "abi        plugin 2.0  core 1.2");
  EXPECT_EQ(verdict("abi=1.2", "abi=0.2"), "abi        plugin 0.2  core 1.2");
  EXPECT_EQ(verdict("abi=1.2", "abi=x"), "abi        plugin x  core 1.2");
}

TEST(Stamp, LibraryDebugAndSanitizerAreEqual) {
  EXPECT_EQ(verdict("cxx11abi1", "cxx11abi0"),
            "stdlib     plugin libstdc++-cxx11abi0  core libstdc++-cxx11abi1");
  EXPECT_EQ(verdict("stldebug=0", "stldebug=1"), "stldebug   plugin 1  core 0");
  EXPECT_EQ(verdict("sanitizer=none", "sanitizer=asan"), "sanitizer  plugin asan  core none");
}

TEST(Stamp, CudaMajorEqualWhereBothHaveOne) {
  EXPECT_EQ(verdict("cuda=13.0", "cuda=13.2"), kTaken);
  EXPECT_EQ(verdict("cuda=13.0", "cuda=none"), kTaken);
  EXPECT_EQ(verdict("cuda=13.0", "cuda=12.4"), "cuda       plugin 12.4  core 13.0");
}

TEST(Stamp, AllDifferencesAtOnce) {
  const Stamp plugin{
      "MOIETY_PLUGIN abi=2.0 stdlib=libc++ stldebug=0 sanitizer=tsan cuda=none "
      "name=acme version=0.3"};
  EXPECT_EQ(message_of<PluginError>([&] { check_stamp("p.so", plugin, Stamp{kHost}); }),
            "plugin 'acme' 0.3 (p.so) was built for another core:\n"
            "  abi        plugin 2.0  core 1.2\n"
            "  stdlib     plugin libc++  core libstdc++-cxx11abi1\n"
            "  sanitizer  plugin tsan  core none\n"
            "Rebuild it against this installation: cmake -DMoiety_DIR=... && cmake --build .");
}

TEST(Stamp, Architectures) {
  EXPECT_TRUE(covers_device("any", 90));
  EXPECT_FALSE(covers_device("none", 90));
  EXPECT_TRUE(covers_device("90", 90));
  EXPECT_TRUE(covers_device("80,90", 90));
  EXPECT_TRUE(covers_device("80", 89)) << "code for 8.0 runs on 8.9";
  EXPECT_FALSE(covers_device("89", 80));
  EXPECT_FALSE(covers_device("80", 90)) << "no PTX to compile for another major";
  EXPECT_TRUE(covers_device("80+ptx", 90));
  EXPECT_FALSE(covers_device("100+ptx", 90));
  EXPECT_TRUE(covers_device("90a", 90));
  EXPECT_FALSE(covers_device("90a", 100));
  EXPECT_TRUE(covers_device("native", 120));
  EXPECT_FALSE(covers_device("", 90));
}

TEST(Stamp, DeviceIsCheckedWhenACudaRunStarts) {
  ComponentInfo info;
  info.name = "acme", info.file = "p.so";
  info.stamp.text = "MOIETY_PLUGIN sm=80 version=1";
  EXPECT_EQ(message_of<PluginError>([&] { check_device(info, 86); }), kTaken);
  EXPECT_EQ(message_of<PluginError>([&] { check_device(info, 90); }),
            "gating 'acme' (p.so) was built for the GPU architectures 80, this GPU is 90. Rebuild "
            "it with -DCMAKE_CUDA_ARCHITECTURES=90.");
  info.stamp.text = "MOIETY_PLUGIN sm=none version=1";
  EXPECT_EQ(message_of<PluginError>([&] { check_device(info, 90); }),
            "gating 'acme' (p.so) runs on the CPU only. Build it with nvcc, or set run.device: "
            "cpu.");
}

}  // namespace
}  // namespace moiety
