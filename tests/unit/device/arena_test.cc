// Arena and Buffer on both devices: stable addresses, alignment, guards, counts.
#include "tests/unit/device_test.h"

namespace moiety {
namespace {

class ArenaTest : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, ArenaTest, kF32Devices, case_name);

TEST_P(ArenaTest, TheSameCallsGiveTheSameAddresses) {
  Arena arena(*context_);
  std::vector<void*> first, second;
  for (std::vector<void*>* seen : {&first, &second}) {
    arena.rewind();
    for (int64_t n : {1, 1000000, 3, 40000000, 0, 5, 2000000}) {
      seen->push_back(arena.make(DType::kF32, {n}).ptr);
      const Arena::Mark mark = arena.mark();
      seen->push_back(arena.make(DType::kBF16, {n, 3}).ptr);
      arena.rewind(mark);
    }
  }
  EXPECT_EQ(first, second);
  for (void* p : first) EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 256, 0U);
  EXPECT_GE(arena.peak_bytes(), size_t{160000000});
}

TEST_P(ArenaTest, ReservesAPlanInOneBlock) {
  Arena arena(*context_);
  const size_t bytes = Arena::padded(3000) + Arena::padded(1) + Arena::padded(size_t{50} << 20);
  arena.reserve(0);
  arena.reserve(bytes);
  EXPECT_EQ(arena.reserved_bytes(), bytes);
  for (const int64_t n : {3000, 1, 50 << 20}) arena.make(DType::kU8, {n});
  EXPECT_EQ(arena.reserved_bytes(), bytes);
  EXPECT_EQ(arena.peak_bytes(), bytes);
  arena.make(DType::kU8, {1});  // beyond the plan
  EXPECT_GT(arena.reserved_bytes(), bytes);
}

/// Small tensors between large ones, then others: what a step does.
TEST_P(ArenaTest, CountsWhatTensorsTakeAndGrowsInPlaceOnAGpu) {
  Arena arena(*context_);
  size_t taken = 0;
  std::vector<TensorView> tensors;
  for (const int64_t n : {100, 20 << 20, 7, 30 << 20, 7, 9 << 20}) {
    tensors.push_back(arena.make(DType::kF32, {n}));
    taken += Arena::padded(static_cast<size_t>(4 * n));
  }
  EXPECT_EQ(arena.peak_bytes(), taken);
  EXPECT_GE(arena.reserved_bytes(), taken);
  for (const TensorView& t : tensors) context_->zero(t.ptr, 4 * static_cast<size_t>(t.numel()));
  context_->synchronize();
  arena.rewind();
  arena.make(DType::kF32, {40 << 20});
  EXPECT_EQ(arena.peak_bytes(), taken);
  if (context_->device().type == DeviceType::kCuda) {
    EXPECT_LT(arena.reserved_bytes() - taken, size_t{32} << 20);
  }
  const size_t held = context_->bytes_in_use();
  {
    Arena other(*context_);
    other.make(DType::kF32, {1 << 20});
    EXPECT_GE(context_->bytes_in_use(), held + (size_t{4} << 20));
  }
  EXPECT_EQ(context_->bytes_in_use(), held);
}

TEST_P(ArenaTest, FillsWithNaN) {
  for (float x : get(make(DType::kF32, {3, 5}))) EXPECT_TRUE(std::isnan(x));
  for (float x : get(make(DType::kBF16, {7}))) EXPECT_TRUE(std::isnan(x));
  for (int32_t x : get_i32(make(DType::kI32, {7}))) EXPECT_EQ(x, -1);
}

TEST_P(ArenaTest, SeesAWriteBesideATensor) {
  for (int64_t at : {-1, 13}) {
    Arena arena(*context_, Arena::Guard::kOn);
    TensorView t = arena.make(DType::kU8, {13});
    EXPECT_TRUE(arena.intact());
    context_->zero(static_cast<uint8_t*>(t.ptr), 13);
    EXPECT_TRUE(arena.intact());
    context_->zero(static_cast<uint8_t*>(t.ptr) + at, 1);
    EXPECT_FALSE(arena.intact());
    arena.rewind();
    EXPECT_FALSE(arena.intact()) << "a rewind forgot the damage";
  }
}

TEST_P(ArenaTest, CountsBuffers) {
  const size_t before = context_->bytes_in_use();
  {
    Buffer a(context_->device(), 1000), b(std::move(a));
    EXPECT_EQ(context_->bytes_in_use(), before + 1000);
    EXPECT_EQ(a.data(), nullptr);
  }
  EXPECT_EQ(context_->bytes_in_use(), before);
  EXPECT_GE(context_->peak_bytes(), before + 1000);
  context_->reset_peak();
  EXPECT_EQ(context_->peak_bytes(), before);
}

TEST_P(ArenaTest, PinnedMemoryIsReadable) {
  Buffer staging = Buffer::pinned(64);
  std::memset(staging.data(), 7, 64);
  TensorView t = make(DType::kU8, {64});
  context_->copy(t.ptr, staging.data(), 64);
  std::vector<uint8_t> back(64);
  download(back.data(), t, 64);
  EXPECT_EQ(back[63], 7);
}

}  // namespace
}  // namespace moiety
