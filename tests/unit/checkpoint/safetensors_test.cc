// Sound files are read exactly; every hostile header is refused before anything is believed.
#include <gtest/gtest.h>

#include "core/checkpoint/safetensors.h"
#include "tests/unit/checkpoint/temporary_folder.h"

namespace moiety {
namespace {

std::string safetensors(const std::string& header, const std::string& data) {
  std::string out;
  for (size_t i = 0; i < 8; ++i) {
    out.push_back(static_cast<char>((uint64_t{header.size()} >> (8 * i)) & 0xff));
  }
  return out + header + data;
}

TEST(Safetensors, ReadsEveryFloat) {
  const TemporaryFolder folder;
  overwrite(folder / "a.safetensors",
            safetensors(R"({"__metadata__":{"format":"pt"},
              "a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},
              "b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]},
              "h":{"dtype":"F16","shape":[],"data_offsets":[12,14]},
              "n":{"dtype":"I64","shape":[0],"data_offsets":[14,14]}})",
                        std::string("\0\0\x80\x3f\0\0\0\xc0\x80\x3f\x00\xc0\x00\x3c", 14)));
  const SafetensorsFile file(folder / "a.safetensors");
  EXPECT_EQ(file.entries().size(), 4u);
  EXPECT_EQ(file.read("a"), (std::vector<float>{1, -2}));
  EXPECT_EQ(file.read("b"), (std::vector<float>{1, -2}));
  EXPECT_EQ(file.read("h"), (std::vector<float>{1}));
  EXPECT_NE(error_of([&] { file.read("n"); }).find("'n' is I64"), std::string::npos);
  EXPECT_NE(error_of([&] { file.read("zz"); }).find("no tensor 'zz'"), std::string::npos);
}

struct Hostile {
  const char* header;
  const char* data;
  const char* says;
};

class HostileSafetensors : public testing::TestWithParam<Hostile> {};

TEST_P(HostileSafetensors, IsRefused) {
  const TemporaryFolder folder;
  overwrite(folder / "a.safetensors", safetensors(GetParam().header, GetParam().data));
  const std::string error = error_of([&] { SafetensorsFile file(folder / "a.safetensors"); });
  EXPECT_NE(error.find("a.safetensors"), std::string::npos) << error;
  EXPECT_NE(error.find(GetParam().says), std::string::npos) << error;
}

INSTANTIATE_TEST_SUITE_P(
    All, HostileSafetensors,
    testing::Values(
        Hostile{"{", "", "not valid JSON"}, Hostile{"[]", "", "not an object"},
        Hostile{R"({"a":3})", "", "tensor 'a'"},
        Hostile{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", "12345678", "8 bytes"},
        Hostile{R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "1234", "of 4"},
        Hostile{R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "12345678", "8 to 0"},
        Hostile{R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234", "negative"},
        Hostile{R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", "1234", "integer"},
        Hostile{R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", "",
                "0 bytes"},
        Hostile{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})",
                "1234", "negative"},
        Hostile{R"({"a":{"dtype":"X9","shape":[1],"data_offsets":[0,4]}})", "1234", "dtype X9"},
        Hostile{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                    "b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                "1234", "overlap"},
        Hostile{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                    "a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                "12345678", "gaps"},
        Hostile{R"({"a":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]})", "", "nested"}));

TEST(Safetensors, RefusesImpossibleHeaderLengths) {
  const TemporaryFolder folder;
  overwrite(folder / "a", std::string(8, '\xff'));
  EXPECT_NE(error_of([&] { SafetensorsFile(folder / "a"); }).find("a header of"),
            std::string::npos);
  overwrite(folder / "a", "abc");
  EXPECT_NE(error_of([&] { SafetensorsFile(folder / "a"); }).find("shorter"), std::string::npos);
}

TEST(Safetensors, ShardsStayInTheirFolder) {
  const TemporaryFolder folder;
  overwrite(folder / "model.safetensors.index.json", R"({"weight_map":{"a":"../b.safetensors"}})");
  EXPECT_NE(error_of([&] { SafetensorsFolder(folder.path()); }).find("no plain file name"),
            std::string::npos);
}

TEST(Safetensors, ReadsShards) {
  const TemporaryFolder folder;
  overwrite(folder / "model.safetensors.index.json", R"({"weight_map":{"a":"1.st","b":"2.st"}})");
  overwrite(folder / "1.st",
            safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                        std::string("\0\0\x80\x3f", 4)));
  overwrite(folder / "2.st",
            safetensors(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                        std::string("\0\0\0\x40", 4)));
  const SafetensorsFolder files(folder.path());
  EXPECT_EQ(files.read("b", {1}), std::vector<float>{2});
  EXPECT_NE(error_of([&] { files.read("b", {2}); }).find("has shape [1], config.json says [2]"),
            std::string::npos);
}

}  // namespace
}  // namespace moiety
