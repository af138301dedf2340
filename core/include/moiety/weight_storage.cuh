// The forms in which an optimizer finds its weights and gradients: an element, or four neighbours
// loaded and stored at once.
#pragma once

#include <cstdint>
#include <string_view>

#include <moiety/master_weight.h>
#include <moiety/optimizer.h>

namespace moiety {

/// Where the weights and the gradient of a stretch of one tensor lie.
struct WeightMemory {
  void* value = nullptr;  // dtype
  float* master = nullptr;
  uint16_t* low = nullptr;
  const void* grad = nullptr;  // grad_dtype
  DType dtype = DType::kF32, grad_dtype = DType::kF32;

  WeightMemory() = default;
  /// From element `at` of a tensor on. Throws Error where a value of 16 bits comes without a
  /// master, or the gradient is neither f32 nor like the value.
  WeightMemory(const ParamSlice& p, int64_t at) {
    dtype = p.value.dtype, grad_dtype = p.grad.dtype;
    if (dtype != DType::kF32 && !p.master && (!p.master_low || dtype != DType::kBF16)) {
      throw Error(p.info.name + ": the optimizer needs a master beside a " + name_of(dtype) +
                  " value: an f32 one, or the low bits of a bf16 value");
    }
    if (grad_dtype != DType::kF32 && grad_dtype != dtype) {
      throw Error(p.info.name + ": the gradient is " + name_of(grad_dtype) +
                  "; the optimizer needs f32 or the value's " + name_of(dtype));
    }
    value = static_cast<char*>(p.value.ptr) + at * size_of(dtype);
    if (p.master) master = p.master.data<float>() + at;
    if (p.master_low) low = p.master_low.data<uint16_t>() + at;
    grad = static_cast<const char*>(p.grad.raw()) + at * size_of(grad_dtype);
  }

  MOIETY_HD float gradient(int64_t i) const {
    if (grad_dtype == DType::kBF16) return static_cast<const BFloat16*>(grad)[i];
    if (grad_dtype == DType::kF16) return static_cast<const Float16*>(grad)[i];
    return static_cast<const float*>(grad)[i];
  }
  MOIETY_HD float weight(int64_t i) const {
    if (low != nullptr) return joined_master(static_cast<const BFloat16*>(value)[i], low[i]);
    return master != nullptr ? master[i] : static_cast<const float*>(value)[i];
  }
  /// The master and the value.
  MOIETY_HD void set_weight(int64_t i, float w) const {
    if (master != nullptr) master[i] = w;
    if (low != nullptr) low[i] = low_of_master(w);
    if (dtype == DType::kF32) static_cast<float*>(value)[i] = w;
    if (dtype == DType::kBF16) {
      static_cast<BFloat16*>(value)[i] = value_of_master<BFloat16>(w);
    }
    if (dtype == DType::kF16) static_cast<Float16*>(value)[i] = value_of_master<Float16>(w);
  }
};

/// Optimizer::facet() of those that read weights and gradients in every form of WeightMemory.
/// Others are given f32 masters and f32 gradients, and a run that wants less is refused.
inline const void* reads_weight_storage(std::string_view facet) {
  static constexpr bool kYes = true;
  return facet == "weight_storage" ? &kYes : nullptr;
}

/// Four neighbours of memory that is aligned for them.
template <class T>
struct alignas(4 * sizeof(T)) FourElements {
  T at[4];
};

template <class T>
MOIETY_HD inline FourElements<T>& four(T* from, int64_t i) {
  return *reinterpret_cast<FourElements<T>*>(from + i);
}
template <class T>
MOIETY_HD inline const FourElements<T>& four(const T* from, int64_t i) {
  return *reinterpret_cast<const FourElements<T>*>(from + i);
}

/// Values in f32, which are their own masters.
struct PlainWeights {
  MOIETY_HD static float load(const WeightMemory& m, int64_t i) {
    return static_cast<const float*>(m.value)[i];
  }
  MOIETY_HD static void store(const WeightMemory& m, int64_t i, float w) {
    static_cast<float*>(m.value)[i] = w;
  }
  MOIETY_HD static FourElements<float> load_four(const WeightMemory& m, int64_t i) {
    return four(static_cast<const float*>(m.value), i);
  }
  MOIETY_HD static void store_four(const WeightMemory& m, int64_t i, const FourElements<float>& w) {
    four(static_cast<float*>(m.value), i) = w;
  }
};

/// f32 masters beside values of T.
template <class T>
struct MasteredWeights {
  MOIETY_HD static float load(const WeightMemory& m, int64_t i) { return m.master[i]; }
  MOIETY_HD static void store(const WeightMemory& m, int64_t i, float w) {
    m.master[i] = w;
    static_cast<T*>(m.value)[i] = value_of_master<T>(w);
  }
  MOIETY_HD static FourElements<float> load_four(const WeightMemory& m, int64_t i) {
    return four(static_cast<const float*>(m.master), i);
  }
  MOIETY_HD static void store_four(const WeightMemory& m, int64_t i, const FourElements<float>& w) {
    FourElements<T> rounded;
    for (int j = 0; j < 4; ++j) rounded.at[j] = value_of_master<T>(w.at[j]);
    four(m.master, i) = w;
    four(static_cast<T*>(m.value), i) = rounded;
  }
};

/// bf16 values and the 16 bits below them.
struct SplitWeights {
  MOIETY_HD static float load(const WeightMemory& m, int64_t i) {
    return joined_master(static_cast<const BFloat16*>(m.value)[i], m.low[i]);
  }
  MOIETY_HD static void store(const WeightMemory& m, int64_t i, float w) {
    m.low[i] = low_of_master(w);
    static_cast<BFloat16*>(m.value)[i] = value_of_master<BFloat16>(w);
  }
  MOIETY_HD static FourElements<float> load_four(const WeightMemory& m, int64_t i) {
    const FourElements<BFloat16> value = four(static_cast<const BFloat16*>(m.value), i);
    const FourElements<uint16_t> low = four(static_cast<const uint16_t*>(m.low), i);
    FourElements<float> w;
    for (int j = 0; j < 4; ++j) w.at[j] = joined_master(value.at[j], low.at[j]);
    return w;
  }
  MOIETY_HD static void store_four(const WeightMemory& m, int64_t i, const FourElements<float>& w) {
    FourElements<BFloat16> value;
    FourElements<uint16_t> low;
    for (int j = 0; j < 4; ++j) {
      value.at[j] = value_of_master<BFloat16>(w.at[j]);
      low.at[j] = low_of_master(w.at[j]);
    }
    four(m.low, i) = low;
    four(static_cast<BFloat16*>(m.value), i) = value;
  }
};

/// Calls work.as<Weights, Gradient>() with the types of `m`.
template <class Work>
MOIETY_HD inline void with_storage(const WeightMemory& m, const Work& work) {
  const bool narrow = m.grad_dtype != DType::kF32;
  if (m.dtype == DType::kF32) {
    work.template as<PlainWeights, float>();
  } else if (m.low != nullptr) {
    narrow ? work.template as<SplitWeights, BFloat16>() : work.template as<SplitWeights, float>();
  } else if (m.dtype == DType::kBF16) {
    narrow ? work.template as<MasteredWeights<BFloat16>, BFloat16>()
           : work.template as<MasteredWeights<BFloat16>, float>();
  } else {
    narrow ? work.template as<MasteredWeights<Float16>, Float16>()
           : work.template as<MasteredWeights<Float16>, float>();
  }
}

}  // namespace moiety
