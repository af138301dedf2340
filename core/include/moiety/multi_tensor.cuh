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
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <moiety/exec.h>
#include <moiety/optimizer.h>

namespace moiety {

inline constexpr int kMaxOptimizerStates = 4;

/// A stretch of one tensor: the work of one block, or of one CPU thread.
struct TensorChunk {
  void* value = nullptr;  // dtype
  float* master = nullptr;
  const float* grad = nullptr;
  float* state[kMaxOptimizerStates] = {};
  int64_t size = 0;
  float lr_scale = 1, decay_scale = 1;
  DType dtype = DType::kF32;
};

/// Rewrites element i: `f` sees the f32 weight and the gradient, unscaled and clipped.
template <class T, class F>
MOIETY_HD inline void update_element(const F& f, const typename F::Step& step, float grad_factor,
                                     const TensorChunk& c, int64_t i) {
  T* value = static_cast<T*>(c.value);
  float state[F::kStates + 1];
  for (int k = 0; k < F::kStates; ++k) state[k] = c.state[k][i];
  float w;
  if constexpr (std::is_same_v<T, float>) {
    w = f(step, value[i], c.grad[i] * grad_factor, state);
  } else {
    w = f(step, c.master[i], c.grad[i] * grad_factor, state);
    c.master[i] = w;
  }
  for (int k = 0; k < F::kStates; ++k) c.state[k][i] = state[k];
  value[i] = static_cast<T>(w);
}

template <class T, class F>
MOIETY_HD inline void update_chunk(const F& f, const typename F::Step& step, float grad_factor,
                                   const TensorChunk& chunk, int64_t first, int64_t stride) {
  const TensorChunk c = chunk;  // a copy: stores to floats cannot change it
#if !defined(__CUDA_ARCH__)
  if (stride == 1) {
#pragma GCC ivdep
    for (int64_t i = first; i < c.size; ++i) update_element<T>(f, step, grad_factor, c, i);
    return;
  }
#endif
  for (int64_t i = first; i < c.size; i += stride) update_element<T>(f, step, grad_factor, c, i);
}

template <class F>
MOIETY_HD inline void update_chunk_as(DType dtype, const F& f, const typename F::Step& step,
                                      float grad_factor, const TensorChunk& c, int64_t first,
                                      int64_t stride) {
  if (dtype == DType::kF32) update_chunk<float>(f, step, grad_factor, c, first, stride);
  if (dtype == DType::kBF16) update_chunk<BFloat16>(f, step, grad_factor, c, first, stride);
  if (dtype == DType::kF16) update_chunk<Float16>(f, step, grad_factor, c, first, stride);
}

#if defined(__CUDACC__)
template <class F>
__global__ void multi_tensor_kernel(F f, const StepState* state, const TensorChunk* chunks) {
  if (state->skip != 0) return;
  const TensorChunk& c = chunks[blockIdx.x];
  __shared__ typename F::Step step;  // bias corrections take double-precision powers: once a block
  if (threadIdx.x == 0) step = f.prepare(*state, c.lr_scale, c.decay_scale);
  __syncthreads();
  update_chunk_as(c.dtype, f, step, state->grad_factor, c, threadIdx.x, blockDim.x);
}
#endif

/// An optimizer made of a functor. Derive from it and pass the names of the states.
template <class F>
class MultiTensorOptimizer : public Optimizer {
 public:
  std::vector<StateSpec> state(const ParamInfo&) const override {
    std::vector<StateSpec> specs;
    for (const char* name : state_names_) specs.push_back({.name = name});
    return specs;
  }

  void bind(Exec& exec, std::span<const ParamSlice> slices) override {
    std::vector<TensorChunk> chunks;
    for (const ParamSlice& p : slices) append(p, &chunks);
    count_ = static_cast<int64_t>(chunks.size());
    chunks_ = chunks.empty() ? nullptr
                             : static_cast<const TensorChunk*>(
                                   exec.upload(chunks.data(), chunks.size() * sizeof(TensorChunk)));
  }

  void step(Exec& exec) const override {
    if (count_ == 0) return;
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      multi_tensor_kernel<<<static_cast<unsigned>(count_), 256, 0,
                            static_cast<cudaStream_t>(exec.stream())>>>(f_, exec.step(), chunks_);
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
    update_chunk_as(c.dtype, *work.f, step, work.step->grad_factor, c, 0, 1);
  }

  static void append(const ParamSlice& p, std::vector<TensorChunk>* chunks) {
    if (p.value.dtype != DType::kF32 && !p.master) {
      throw Error(p.info.name + ": the optimizer needs an f32 master beside a " +
                  name_of(p.value.dtype) + " value");
    }
    const int64_t size = p.value.numel();
    for (int64_t at = 0; at < size; at += kChunk) {
      TensorChunk c;
      c.value = static_cast<char*>(p.value.ptr) + at * size_of(p.value.dtype);
      if (p.master) c.master = p.master.template data<float>() + at;
      c.grad = p.grad.template data<float>() + at;
      for (size_t k = 0; k < p.state.size(); ++k) c.state[k] = p.state[k].data<float>() + at;
      c.size = std::min(kChunk, size - at);
      c.lr_scale = p.info.lr_scale, c.decay_scale = p.info.decay_scale;
      c.dtype = p.value.dtype;
      chunks->push_back(c);
    }
  }

  F f_;
  std::vector<const char*> state_names_;
  const TensorChunk* chunks_ = nullptr;  // device
  int64_t count_ = 0;
};

}  // namespace moiety
