// What frames a step, as single-threaded functors on either device, and the global norm.
#include "core/ops/step_ops.h"

#include <cmath>

#include <moiety/rows.cuh>

namespace moiety::ops {

namespace {

struct Begin {
  StepControl* c;
  MOIETY_HD void operator()(int64_t) const {
    c->step.lr = static_cast<float>(c->schedule.at(c->step.update));
    c->step.loss_scale = static_cast<float>(c->scaler.scale);
    c->step.skip = 0;
  }
};

/// One chunk a worker: sums of squares in f64, kept as two floats so that nothing is lost.
struct ChunkSquares {
  const TensorList::Chunk* chunks;
  float *high, *low;
  MOIETY_HD void operator()(int64_t i) const {
    const float* x = chunks[i].data;
    const int64_t n = chunks[i].size;
    double lanes[4] = {};
    int64_t j = 0;
    for (; j + 4 <= n; j += 4) {
      for (int lane = 0; lane < 4; ++lane) {
        const auto v = static_cast<double>(x[j + lane]);
        lanes[lane] += v * v;
      }
    }
    for (; j < n; ++j) lanes[0] += static_cast<double>(x[j]) * static_cast<double>(x[j]);
    const double sum = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    high[i] = static_cast<float>(sum);
    const double rest = sum - static_cast<double>(high[i]);
    low[i] = rest == rest ? static_cast<float>(rest) : 0.f;  // inf - inf
  }
};

constexpr int64_t kGroup = 256;

struct GroupSquares {
  const float *high, *low;
  float *group_high, *group_low;
  int64_t n;
  MOIETY_HD void operator()(int64_t g) const {
    double sum = 0;
    for (int64_t i = g * kGroup; i < n && i < (g + 1) * kGroup; ++i) {
      sum += static_cast<double>(high[i]) + static_cast<double>(low[i]);
    }
    group_high[g] = static_cast<float>(sum);
    const double rest = sum - static_cast<double>(group_high[g]);
    group_low[g] = rest == rest ? static_cast<float>(rest) : 0.f;
  }
};

struct Root {
  const float *high, *low;
  int64_t n;
  float* out;
  MOIETY_HD void operator()(int64_t) const {
    double sum = 0;
    for (int64_t g = 0; g < n; ++g) {
      sum += static_cast<double>(high[g]) + static_cast<double>(low[g]);
    }
    *out = static_cast<float>(::sqrt(sum));
  }
};

struct Finish {
  const float* norm;
  StepControl* c;
  MOIETY_HD void operator()(int64_t) const {
    const double scale = c->scaler.scale;  // the one that backward used
    const double n = static_cast<double>(*norm) / scale;
    const bool overflow = !(n < INFINITY);  // NaN too
    c->grad_norm = static_cast<float>(n);
    double factor = 1 / scale;
    const double over = c->clip > 0 ? (n + 1e-6) / c->clip : 0;
    if (over > 1) factor /= over;
    c->step.grad_factor = static_cast<float>(factor);
    c->step.skip = overflow && c->check_overflow != 0 ? 1 : 0;
    if (c->step.skip != 0) ++c->skipped;
    c->scaler.update(overflow);
  }
};

struct End {
  StepControl* c;
  MOIETY_HD void operator()(int64_t) const {
    ++c->step.batch;
    if (c->step.skip == 0) ++c->step.update;
  }
};

}  // namespace

TensorList::TensorList(Exec& exec, std::span<const TensorView> tensors) {
  const int64_t longest = exec.is_cuda() ? 1024 : 65536;  // elements of a chunk
  std::vector<Chunk> chunks;
  for (const TensorView& t : tensors) {
    auto* data = t.data<float>();
    for (int64_t begin = 0, n = t.numel(); begin < n; begin += longest) {
      chunks.push_back({data + begin, n - begin < longest ? n - begin : longest});
    }
  }
  size_ = static_cast<int64_t>(chunks.size());
  if (size_ == 0) return;
  chunks_ = static_cast<const Chunk*>(exec.upload(chunks.data(), chunks.size() * sizeof(Chunk)));
}

void begin_step(Exec& exec, StepControl* control) { for_each_row(exec, 1, Begin{control}); }

void global_norm(Exec& exec, const TensorList& list, TensorView out) {
  const int64_t n = list.size(), groups = (n + kGroup - 1) / kGroup;
  const auto floats = [&](int64_t size) { return exec.scratch(DType::kF32, {size}).data<float>(); };
  float *high = floats(n), *low = floats(n), *group_high = floats(groups),
        *group_low = floats(groups);
  for_each_row(exec, n, ChunkSquares{list.chunks(), high, low});
  for_each_row(exec, groups, GroupSquares{high, low, group_high, group_low, n});
  for_each_row(exec, 1, Root{group_high, group_low, groups, out.data<float>()});
}

void finish_gradients(Exec& exec, ConstTensorView norm, StepControl* control) {
  for_each_row(exec, 1, Finish{norm.data<float>(), control});
}

void end_step(Exec& exec, StepControl* control) { for_each_row(exec, 1, End{control}); }

}  // namespace moiety::ops
