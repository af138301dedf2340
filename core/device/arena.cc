// Arena: blocks that are never given back, filled from the front and rewound. The last one grows
// where the device can do that; elsewhere another follows.
#include "core/device/arena.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/device/context_impl.h"
#include "core/device/growing_memory.h"

namespace moiety {

namespace {

constexpr size_t kAlignment = 256, kCanary = 256;
constexpr uint8_t kCanaryByte = 0xa5;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

struct Arena::Impl {
  /// A tensor between its canaries: `before` bytes up to it, `after` bytes behind it.
  struct Guarded {
    Mark at;
    uint8_t* data;
    size_t bytes, after;
  };

  const DeviceContext* context = nullptr;
  Guard guard = Guard::kOff;
  std::vector<std::unique_ptr<GrowingMemory>> blocks = {};
  Mark top = {};
  size_t peak = 0;
  std::vector<Guarded> guarded = {};
  bool damaged = false;  // found when a tensor was rewound

  size_t smallest_block() const {
    if (guard == Guard::kOn) return size_t{1} << 18;
    return context->device().type == DeviceType::kCuda ? size_t{1} << 25 : size_t{1} << 22;
  }

  /// Moves `top` to a place for `bytes`, adding a block where none fits.
  uint8_t* take(size_t bytes) {
    while (top.block < blocks.size() && !fits(*blocks[top.block], top.offset + bytes)) {
      top = {top.block + 1, 0, top.used};
    }
    if (top.block == blocks.size()) {
      MOIETY_CHECK(!context->impl().capturing(),
                   "arena: {} bytes do not fit while a graph is captured; run the same work once "
                   "before the capture",
                   bytes);
      blocks.push_back(make_growing_memory(context->device(), bytes, smallest_block()));
    }
    uint8_t* at = static_cast<uint8_t*>(blocks[top.block]->data()) + top.offset;
    top.offset += bytes;
    top.used += bytes;
    peak = std::max(peak, top.used);
    return at;
  }

  bool fits(GrowingMemory& block, size_t bytes) const {
    return bytes <= block.bytes() || (!context->impl().capturing() && block.grow(bytes));
  }

  void* take_guarded(size_t bytes) {
    const size_t after = aligned(bytes) - bytes + kCanary;
    const Mark before = top;
    uint8_t* data = take(kCanary + bytes + after) + kCanary;
    context->impl().fill(data - kCanary, kCanaryByte, kCanary);
    if (bytes > 0) context->impl().fill(data, 0xff, bytes);
    context->impl().fill(data + bytes, kCanaryByte, after);
    guarded.push_back({before, data, bytes, after});
    return data;
  }

  bool untouched(const Guarded& tensor) const {
    std::vector<uint8_t> seen(kCanary + tensor.after);
    context->copy(seen.data(), tensor.data - kCanary, kCanary);
    context->copy(seen.data() + kCanary, tensor.data + tensor.bytes, tensor.after);
    context->synchronize();
    return std::all_of(seen.begin(), seen.end(), [](uint8_t b) { return b == kCanaryByte; });
  }
};

Arena::Arena(const DeviceContext& context, Guard guard) : impl_(std::make_unique<Impl>()) {
  impl_->context = &context;
  impl_->guard = guard;
}
Arena::~Arena() = default;
Arena::Arena(Arena&&) noexcept = default;

TensorView Arena::make(DType dtype, std::span<const int64_t> shape) {
  MOIETY_CHECK(shape.size() <= kMaxRank, "arena: rank {} was asked for, the largest is {}",
               shape.size(), kMaxRank);
  TensorView v;
  v.rank = static_cast<int32_t>(shape.size());
  v.dtype = dtype;
  v.device = impl_->context->device();
  int64_t count = 1;
  for (size_t i = shape.size(); i-- > 0; count *= shape[i]) {
    MOIETY_CHECK(shape[i] >= 0, "arena: axis {} of {} elements was asked for", i, shape[i]);
    v.shape[i] = shape[i];
    v.stride[i] = count;
  }
  const auto bytes = static_cast<size_t>(count * size_of(dtype));
  v.ptr = impl_->guard == Guard::kOn ? impl_->take_guarded(bytes) : impl_->take(padded(bytes));
  return v;
}

TensorView Arena::make(DType dtype, std::initializer_list<int64_t> shape) {
  return make(dtype, std::span<const int64_t>(shape.begin(), shape.size()));
}

Arena::Mark Arena::mark() const { return impl_->top; }

void Arena::rewind(Mark to) {
  auto& guarded = impl_->guarded;
  const auto after = [&](const Impl::Guarded& tensor) {
    return tensor.at.block > to.block ||
           (tensor.at.block == to.block && tensor.at.offset >= to.offset);
  };
  const bool readable = !guarded.empty() && !impl_->context->impl().capturing();
  for (; !guarded.empty() && after(guarded.back()); guarded.pop_back()) {
    if (readable && !impl_->untouched(guarded.back())) impl_->damaged = true;
  }
  impl_->top = to;
}

bool Arena::intact() const {
  return !impl_->damaged &&
         std::all_of(impl_->guarded.begin(), impl_->guarded.end(),
                     [&](const Impl::Guarded& tensor) { return impl_->untouched(tensor); });
}

void Arena::set_guard(Guard guard) { impl_->guard = guard; }

size_t Arena::peak_bytes() const { return impl_->peak; }

size_t Arena::reserved_bytes() const {
  size_t bytes = 0;
  for (const auto& block : impl_->blocks) bytes += block->bytes();
  return bytes;
}

void Arena::reserve(size_t bytes) {
  if (bytes == 0) return;
  Impl& arena = *impl_;
  arena.blocks.push_back(make_fixed_memory(arena.context->device(), bytes));
  arena.top = {arena.blocks.size() - 1, 0, arena.top.used};
}

size_t Arena::padded(size_t bytes) { return aligned(std::max<size_t>(bytes, 1)); }

}  // namespace moiety
