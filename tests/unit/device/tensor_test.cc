// TensorView: slices, reshapes and the checks behind data() and rows().
#include <moiety/tensor.h>

#include <functional>
#include <string>

#include <gtest/gtest.h>

namespace moiety {
namespace {

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Tensor, SlicesShareMemory) {
  float x[24] = {};
  const TensorView v = view_of(x, DType::kF32, {4, 6});
  const TensorView half = v.slice(1, 3, 3), rows = v.slice(0, 2, 2), last = v.slice(-1, 5, 1);
  EXPECT_EQ(half.ptr, x + 3);
  EXPECT_EQ(rows.ptr, x + 12);
  EXPECT_EQ(last.ptr, x + 5);
  EXPECT_FALSE(half.contiguous());
  EXPECT_TRUE(rows.contiguous());
  EXPECT_EQ(half.numel(), 12);
  EXPECT_EQ(half.rows<float>()[2], x + 15);
  EXPECT_TRUE(v.slice(0, 4, 0).contiguous());
}

TEST(Tensor, ReshapeKeepsElements) {
  float x[24] = {};
  const TensorView v = view_of(x, DType::kF32, {4, 6});
  EXPECT_EQ(v.reshape({2, 2, 6}).stride[0], 12);
  EXPECT_EQ(error_of([&] {
              v.reshape({5, 5});
            }),
            "reshape: f32 [4, 6] has 24 elements, f32 [5, 5] has 25");
  EXPECT_NE(error_of([&] { v.slice(1, 0, 2).reshape({8}); }).find("strided"), std::string::npos);
}

TEST(Tensor, RefusesWhatAStrideOrDtypeWouldBreak) {
  float x[24] = {};
  const TensorView v = view_of(x, DType::kF32, {4, 6});
  EXPECT_EQ(error_of([&] { v.data<int32_t>(); }), "tensor f32 [4, 6]: expected dtype i32");
  EXPECT_NE(error_of([&] { v.slice(1, 0, 2).data<float>(); }).find("use rows()"),
            std::string::npos);
  EXPECT_NE(error_of([&] { v.reshape({24}).rows<float>(); }).find("matrix"), std::string::npos);
  EXPECT_NE(error_of([&] { v.slice(1, 4, 3); }).find("do not lie in f32 [4, 6]"),
            std::string::npos);
}

}  // namespace
}  // namespace moiety
