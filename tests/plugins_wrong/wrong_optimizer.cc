// Optimizers (SGD with momentum) that are wrong in one way each; see wrong_gating.cc.
#include <algorithm>
#include <cmath>
#include <random>

#include <moiety/optimizer.h>
#include <moiety/plugin.h>
#include <moiety/weight_storage.cuh>

namespace {

using namespace moiety;

enum class Bug {
  kRepeatable,
  kWritten,
  kBounds,
  kSkip,
  kDeviceScalars,
  kGradFactor,
  kScales,
  kResume,
  kRebind,
  kShards,
  kMasters,
  kSplitMasters,
  kGradientDtypes,
  kDescends,
  kEdges
};

struct NoOptions {
  static void describe(Schema<NoOptions>&) {}
};

template <Bug bug>
class Sgd final : public Optimizer {
 public:
  using Options = NoOptions;
  static constexpr Traits kTraits{.cuda = false};
  Sgd(const Options&, const ModelDims&) {}

  const void* facet(std::string_view name) const override {
    return kEveryStorage ? reads_weight_storage(name) : nullptr;
  }
  std::vector<StateSpec> state(const ParamInfo&) const override {
    if (bug == Bug::kResume) return {};
    return {{.name = "momentum"}};
  }

  void bind(Exec& exec, std::span<const ParamSlice> slices) override {
    if (bug == Bug::kRebind && !slices_.empty()) return;
    slices_.assign(slices.begin(), slices.end());
    lr_ = exec.step()->lr;
    hidden_.resize(slices_.size());
  }

  void step(Exec& exec) const override {
    const StepState& s = *exec.step();
    if (bug != Bug::kSkip && s.skip != 0) return;
    float lr = bug == Bug::kDeviceScalars ? lr_ : s.lr;
    if (bug == Bug::kDescends) lr = -lr;
    if (bug == Bug::kRepeatable) {
      static std::mt19937 own;
      lr *= std::uniform_real_distribution<float>(0.5f, 1.f)(own);
    }
    const float factor = bug == Bug::kGradFactor ? 1 : s.grad_factor;
    for (size_t i = 0; i < slices_.size(); ++i) {
      const ParamSlice& p = slices_[i];
      const float scale = bug == Bug::kScales ? 1 : p.info.lr_scale;
      update(p, momentum(i), lr * scale, factor);
    }
  }

 private:
  float* momentum(size_t i) const {
    if (bug != Bug::kResume) return slices_[i].state[0].template data<float>();
    hidden_[i].resize(static_cast<size_t>(slices_[i].value.numel()));
    return hidden_[i].data();
  }

  static void update(const ParamSlice& p, float* momentum, float lr, float factor) {
    const int64_t n = p.value.numel();
    if (kEveryStorage) return update_every_storage(p, momentum, lr, factor);
    const float* grad = p.grad.data<float>();
    float norm = 1;
    if (bug == Bug::kShards) {  // by the shard's own norm, without asking for whole tensors
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += double(grad[i]) * grad[i];
      norm = static_cast<float>(std::sqrt(sum)) * factor + 1e-6f;
    }
    for (int64_t i = 0; i < n; ++i) {
      if (bug == Bug::kWritten && i == n - 1) continue;
      if (bug == Bug::kEdges && i >= 16384) continue;
      momentum[i] = 0.5f * momentum[i] + grad[i] * factor / norm;
      store(p, i, weight(p, i) - lr * momentum[i]);
    }
    if (bug == Bug::kBounds && p.value.dtype == DType::kF32) p.value.data<float>()[n] = 0;
  }

  static void update_every_storage(const ParamSlice& p, float* momentum, float lr, float factor) {
    const WeightMemory memory(p, 0);
    for (int64_t i = 0; i < p.value.numel(); ++i) {
      float g = memory.gradient(i), w = memory.weight(i);
      if (bug == Bug::kGradientDtypes && p.grad.dtype != DType::kF32) g *= 0.5f;
      if (bug == Bug::kSplitMasters && p.master_low) w = p.value.data<BFloat16>()[i];
      momentum[i] = 0.5f * momentum[i] + g * factor;
      memory.set_weight(i, w - lr * momentum[i]);
    }
  }

  static float weight(const ParamSlice& p, int64_t i) {
    if (p.value.dtype == DType::kF32) return p.value.data<float>()[i];
    return bug == Bug::kMasters ? static_cast<float>(p.value.data<BFloat16>()[i])
                                : p.master.data<float>()[i];
  }
  static void store(const ParamSlice& p, int64_t i, float w) {
    if (p.value.dtype == DType::kF32) {
      p.value.data<float>()[i] = w;
      return;
    }
    if (bug != Bug::kMasters) p.master.data<float>()[i] = w;
    p.value.data<BFloat16>()[i] = BFloat16(w);
  }

  static constexpr bool kEveryStorage = bug == Bug::kSplitMasters || bug == Bug::kGradientDtypes;
  std::vector<ParamSlice> slices_;
  float lr_ = 0;
  mutable std::vector<std::vector<float>> hidden_;
};

}  // namespace

MOIETY_PLUGIN("wrong", "1.0.0") {
  plugin.add<Sgd<Bug::kRepeatable>>("wrong_repeatable", "draws from a generator of its own");
  plugin.add<Sgd<Bug::kWritten>>("wrong_written", "leaves the last element as it was");
  plugin.add<Sgd<Bug::kBounds>>("wrong_bounds", "writes one element too many");
  plugin.add<Sgd<Bug::kSkip>>("wrong_skip", "updates after an overflow");
  plugin.add<Sgd<Bug::kDeviceScalars>>("wrong_device_scalars", "reads the learning rate in bind");
  plugin.add<Sgd<Bug::kGradFactor>>("wrong_grad_factor", "neither unscales nor clips");
  plugin.add<Sgd<Bug::kScales>>("wrong_scales", "one learning rate for every parameter");
  plugin.add<Sgd<Bug::kResume>>("wrong_resume", "keeps its momentum in a member");
  plugin.add<Sgd<Bug::kRebind>>("wrong_rebind", "ignores a second bind");
  plugin.add<Sgd<Bug::kShards>>("wrong_shards", "normalises by the shard");
  plugin.add<Sgd<Bug::kMasters>>("wrong_masters", "leaves the masters behind");
  plugin.add<Sgd<Bug::kSplitMasters>>("wrong_split_masters", "reads the values for masters");
  plugin.add<Sgd<Bug::kGradientDtypes>>("wrong_gradient_dtypes", "halves low-precision gradients");
  plugin.add<Sgd<Bug::kDescends>>("wrong_descends", "climbs");
  plugin.add<Sgd<Bug::kEdges>>("wrong_edges", "stops after 16384 elements");
}
