// Optimizers that treat every element alike: one launch updates all tensors of a rank, and one
// functor serves the CPU and the GPU.
//
//   struct Sgd {
//     static constexpr int kStates = 0;
//     struct Step { float lr; };
//     MOIETY_HD Step prepare(const StepState& s, float lr_scale, float decay_scale) const;
//     MOIETY_HD float operator()(const Step& s, float w, float g, float* state) const;
//   };
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include <moiety/exec.h>
#include <moiety/weight_storage.cuh>

namespace moiety {

inline constexpr int kMaxOptimizerStates = 4;

/// A stretch of one tensor: the work of one block, or of one CPU thread.
struct TensorChunk {
  WeightMemory memory = {};
  float* state[kMaxOptimizerStates] = {};
  int64_t size = 0;
  float lr_scale = 1, decay_scale = 1;
  int32_t scales = 0;  // the number of this pair of scales among the optimizer's
};

/// Rewrites elements of a chunk: `f` sees the f32 weight and the gradient, unscaled and clipped.
template <class F>
struct ChunkUpdate {
  const F& f;
  const typename F::Step& step;
  float grad_factor;
  const TensorChunk& chunk;
  int64_t first = 0, stride = 1;  // of a GPU's threads

  template <class Weights, class G>
  MOIETY_HD void element(const TensorChunk& c, int64_t i) const {
    float state[F::kStates + 1];
    for (int k = 0; k < F::kStates; ++k) state[k] = c.state[k][i];
    const auto g = static_cast<float>(static_cast<const G*>(c.memory.grad)[i]);
    const float w = f(step, Weights::load(c.memory, i), g * grad_factor, state);
    for (int k = 0; k < F::kStates; ++k) c.state[k][i] = state[k];
    Weights::store(c.memory, i, w);
  }

  template <class Weights, class G>
  MOIETY_HD void as() const {
    const TensorChunk c = chunk;  // a copy: stores to floats cannot change it
#if defined(__CUDA_ARCH__)
    const int64_t whole = aligned_for_four<G>(c) ? c.size / 4 * 4 : 0;
    for (int64_t i = 4 * first; i < whole; i += 4 * stride) four_elements<Weights, G>(c, i);
    for (int64_t i = whole + first; i < c.size; i += stride) element<Weights, G>(c, i);
#else
#pragma GCC ivdep
    for (int64_t i = 0; i < c.size; ++i) element<Weights, G>(c, i);
#endif
  }

#if defined(__CUDACC__)
  template <class G>
  __device__ static bool aligned_for_four(const TensorChunk& c) {
    const WeightMemory& m = c.memory;
    auto bits = reinterpret_cast<uintptr_t>(m.grad) * (4 / sizeof(G)) |
                reinterpret_cast<uintptr_t>(m.master) | reinterpret_cast<uintptr_t>(m.low) * 2;
    for (int k = 0; k < F::kStates; ++k) bits |= reinterpret_cast<uintptr_t>(c.state[k]);
    bits |= reinterpret_cast<uintptr_t>(m.value) * (m.dtype == DType::kF32 ? 1 : 2);
    return bits % 16 == 0;
  }

  /// Elements i to i + 3, of tensors that are aligned for it.
  template <class Weights, class G>
  __device__ void four_elements(const TensorChunk& c, int64_t i) const {
    FourElements<float> state[F::kStates + 1];
#pragma unroll
    for (int k = 0; k < F::kStates; ++k) state[k] = four(c.state[k], i);
    const FourElements<G> g = four(static_cast<const G*>(c.memory.grad), i);
    FourElements<float> w = Weights::load_four(c.memory, i);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      float mine[F::kStates + 1];
#pragma unroll
      for (int k = 0; k < F::kStates; ++k) mine[k] = state[k].at[j];
      w.at[j] = f(step, w.at[j], static_cast<float>(g.at[j]) * grad_factor, mine);
#pragma unroll
      for (int k = 0; k < F::kStates; ++k) state[k].at[j] = mine[k];
    }
#pragma unroll
    for (int k = 0; k < F::kStates; ++k) four(c.state[k], i) = state[k];
    Weights::store_four(c.memory, i, w);
  }
#endif
};

#if defined(__CUDACC__)
/// What a launch prepares for each pair of scales: bias corrections take double-precision powers.
template <class F>
__global__ void prepare_steps_kernel(F f, const StepState* state, const float2* scales, int count,
                                     typename F::Step* steps) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) steps[i] = f.prepare(*state, scales[i].x, scales[i].y);
}

template <class F>
__global__ void multi_tensor_kernel(F f, const StepState* state, const TensorChunk* chunks,
                                    const typename F::Step* steps) {
  if (state->skip != 0) return;
  const TensorChunk& c = chunks[blockIdx.x];
  const typename F::Step step = steps[c.scales];
  with_storage(c.memory, ChunkUpdate<F>{f, step, state->grad_factor, c, int64_t{threadIdx.x},
                                        int64_t{blockDim.x}});
}
#endif

/// An optimizer made of a functor. Derive from it and pass the names of the states.
template <class F>
class MultiTensorOptimizer : public Optimizer {
 public:
  const void* facet(std::string_view name) const override { return reads_weight_storage(name); }
  std::vector<StateSpec> state(const ParamInfo&) const override {
    std::vector<StateSpec> specs;
    for (const char* name : state_names_) specs.push_back({.name = name});
    return specs;
  }

  void bind(Exec& exec, std::span<const ParamSlice> slices) override {
    std::vector<TensorChunk> chunks;
    scales_.clear();
    for (const ParamSlice& p : slices) append(p, &chunks);
    count_ = static_cast<int64_t>(chunks.size());
    scales_on_device_ = scales_.empty()
                            ? nullptr
                            : exec.upload(scales_.data(), scales_.size() * sizeof(scales_.front()));
    chunks_ = chunks.empty() ? nullptr
                             : static_cast<const TensorChunk*>(
                                   exec.upload(chunks.data(), chunks.size() * sizeof(TensorChunk)));
  }

  void step(Exec& exec) const override {
    if (count_ == 0) return;
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      auto* stream = static_cast<cudaStream_t>(exec.stream());
      const auto pairs = static_cast<int>(scales_.size());
      const TensorView memory =
          exec.scratch(DType::kU8, {pairs * static_cast<int64_t>(sizeof(typename F::Step))});
      auto* steps = static_cast<typename F::Step*>(memory.ptr);
      prepare_steps_kernel<<<static_cast<unsigned>((pairs + 31) / 32), 32, 0, stream>>>(
          f_, exec.step(), static_cast<const float2*>(scales_on_device_), pairs, steps);
      multi_tensor_kernel<<<static_cast<unsigned>(count_), 256, 0, stream>>>(f_, exec.step(),
                                                                             chunks_, steps);
      return;
    }
#endif
    const Work work{&f_, exec.step(), chunks_};
    exec.cpu_rows(count_, run_on_cpu, &work);
  }

 protected:
  MultiTensorOptimizer(const F& f, std::vector<const char*> state_names)
      : f_(f), state_names_(std::move(state_names)) {}

 private:
  static constexpr int64_t kChunk = 16384;
  struct Work {
    const F* f;
    const StepState* step;
    const TensorChunk* chunks;
  };

  static void run_on_cpu(const void* context, int64_t row) {
    const Work& work = *static_cast<const Work*>(context);
    if (work.step->skip != 0) return;
    const TensorChunk& c = work.chunks[row];
    const auto step = work.f->prepare(*work.step, c.lr_scale, c.decay_scale);
    with_storage(c.memory, ChunkUpdate<F>{*work.f, step, work.step->grad_factor, c});
  }

  void append(const ParamSlice& p, std::vector<TensorChunk>* chunks) {
    const std::array<float, 2> pair = {p.info.lr_scale, p.info.decay_scale};
    const auto known = std::find(scales_.begin(), scales_.end(), pair);
    const auto number = static_cast<int32_t>(known - scales_.begin());
    if (known == scales_.end()) scales_.push_back(pair);
    const int64_t size = p.value.numel();
    for (int64_t at = 0; at < size; at += kChunk) {
      TensorChunk c;
      c.memory = WeightMemory(p, at);
      for (size_t k = 0; k < p.state.size(); ++k) c.state[k] = p.state[k].data<float>() + at;
      c.size = std::min(kChunk, size - at);
      c.lr_scale = p.info.lr_scale, c.decay_scale = p.info.decay_scale;
      c.scales = number;
      chunks->push_back(c);
    }
  }

  F f_;
  std::vector<const char*> state_names_;
  std::vector<std::array<float, 2>> scales_;  // of rate and decay, each pair once
  const void* scales_on_device_ = nullptr;
  const TensorChunk* chunks_ = nullptr;  // device
  int64_t count_ = 0;
};

}  // namespace moiety
