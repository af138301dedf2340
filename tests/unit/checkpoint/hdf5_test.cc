// The HDF5 layer alone: types, attributes, errors.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/checkpoint/hdf5.h"
#include "tests/unit/checkpoint/temporary_folder.h"

namespace moiety::h5 {
namespace {

TEST(Hdf5, SixteenBitFloatsAreRealFloats) {
  const TemporaryFolder folder;
  const float values[] = {0.f,   -0.f,   1.00390625f, -3.5f, std::numeric_limits<float>::infinity(),
                          65504, 6.1e-5f};
  std::vector<BFloat16> b;
  std::vector<Float16> h;
  for (const float x : values) b.emplace_back(x), h.emplace_back(x);
  {
    File file(folder / "a.h5", File::Mode::kCreate);
    file.write("x/b", DType::kBF16, {7}, b.data());
    file.write("x/h", DType::kF16, {7}, h.data());
    file.close();
  }
  const File file(folder / "a.h5", File::Mode::kRead);
  EXPECT_EQ(file.info("x/b").dtype, DType::kBF16);
  EXPECT_EQ(file.info("x/h").dtype, DType::kF16);
  std::vector<BFloat16> again(7);
  file.read("x/b", DType::kBF16, again.data(), 7);
  EXPECT_EQ(std::memcmp(again.data(), b.data(), 14), 0);
  for (size_t i = 0; i < 7; ++i) {  // another program sees the numbers, not the bits
    EXPECT_EQ(file.numbers("x/b")[i], static_cast<float>(b[i]));
    EXPECT_EQ(file.numbers("x/h")[i], static_cast<float>(h[i]));
  }
}

TEST(Hdf5, AttributesKeepTheirType) {
  const TemporaryFolder folder;
  const std::vector<Attribute> values = {int64_t{-5},   ~uint64_t{0},
                                         0.1,           std::string("ä b"),
                                         std::string(), std::vector<double>{1, 2.5}};
  {
    File file(folder / "a.h5", File::Mode::kCreate);
    file.make_group("g");
    for (size_t i = 0; i < values.size(); ++i) file.set("g", std::to_string(i), values[i]);
  }
  const File file(folder / "a.h5", File::Mode::kRead);
  EXPECT_EQ(file.attributes("g").size(), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(file.attribute("g", std::to_string(i)), values[i]) << i;
  }
}

TEST(Hdf5, ScalarsAndEmptyTensors) {
  const TemporaryFolder folder;
  const float x = 3;
  {
    File file(folder / "a.h5", File::Mode::kCreate);
    file.write("scalar", DType::kF32, {}, &x);
    file.write("empty", DType::kF32, {0, 4}, nullptr);
  }
  const File file(folder / "a.h5", File::Mode::kRead);
  EXPECT_EQ(file.floats("scalar"), std::vector<float>{3});
  EXPECT_EQ(file.info("empty").shape, (std::vector<int64_t>{0, 4}));
  EXPECT_TRUE(file.floats("empty").empty());
}

TEST(Hdf5, ErrorsNameFileAndObject) {
  const TemporaryFolder folder;
  EXPECT_NE(error_of([&] { File(folder / "none.h5", File::Mode::kRead); }).find("none.h5"),
            std::string::npos);
  overwrite(folder / "text.h5", "this is no HDF5 file");
  EXPECT_NE(error_of([&] { File(folder / "text.h5", File::Mode::kRead); }).find("cannot open"),
            std::string::npos);
  File file(folder / "a.h5", File::Mode::kCreate);
  const int32_t x[2] = {1, 2};
  file.write("g/x", DType::kI32, {2}, x);
  int32_t out[2];
  EXPECT_NE(error_of([&] {
              file.read("g/x", DType::kF32, out, 2);
            }).find("/g/x: holds 2 elements of i32, expected 2 of f32"),
            std::string::npos);
  EXPECT_NE(error_of([&] { file.read("g/y", DType::kI32, out, 2); }).find("/g/y"),
            std::string::npos);
  EXPECT_NE(error_of([&] { file.write("g/x", DType::kI32, {2}, x); }).find("/g/x"),
            std::string::npos);
  EXPECT_NE(error_of([&] { file.text("g", "a"); }).find("no attribute 'a'"), std::string::npos);
}

}  // namespace
}  // namespace moiety::h5
