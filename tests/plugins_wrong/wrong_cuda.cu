// Gates that are wrong on a GPU alone; without CUDA nobody can tell.
#include <moiety/ops.h>
#include <moiety/plugin.h>
#include <moiety/rows.cuh>

namespace {

using namespace moiety;

enum class Bug { kCpuEqualsCuda, kNoSync, kCapture };

struct NoOptions {
  static void describe(Schema<NoOptions>&) {}
};

/// Waits for the device.
void wait([[maybe_unused]] Exec& exec) {
#if defined(__CUDACC__)
  if (exec.is_cuda()) cudaStreamSynchronize(static_cast<cudaStream_t>(exec.stream()));
#endif
}

/// Asks, without waiting, whether the device has come this far: not possible in a capture.
void ask([[maybe_unused]] Exec& exec) {
#if defined(__CUDACC__)
  if (!exec.is_cuda()) return;
  cudaEvent_t event = nullptr;
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  cudaEventRecord(event, static_cast<cudaStream_t>(exec.stream()));
  const cudaError_t status = cudaEventQuery(event);
  cudaEventDestroy(event);
  if (status != cudaSuccess && status != cudaErrorNotReady) {
    throw Error(std::string("cudaEventQuery failed: ") + cudaGetErrorName(status));
  }
#endif
}

template <Bug bug>
class Gate final : public GatingPolicy {  // top-1
 public:
  using Options = NoOptions;
  Gate(const Options&, const ModelDims&) {}
  PlanShape plan_shape(int64_t, int64_t, bool) const override { return {.writes_scores = true}; }

  void forward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
               Saved&) const override {
    if (bug == Bug::kNoSync) wait(exec);
    if (bug == Bug::kCapture) ask(exec);
    const TensorView z = exec.scratch(DType::kF32, {in.logits.dim(0), in.logits.dim(1)});
    ops::softmax_rows(exec, in.logits, z);
    if (bug == Bug::kCpuEqualsCuda && exec.is_cuda()) {
      ops::softmax_rows(exec, z, plan.scores);  // once more
    } else {
      ops::copy(exec, z, plan.scores);
    }
    ops::topk_rows(exec, plan.scores, in.token_mask, plan.index, plan.weight);
  }

  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved&, const RoutingGrad& grad, const GatingGrad& out) const override {
    const TensorView dprobs = exec.scratch(DType::kF32, {in.logits.dim(0), in.logits.dim(1)});
    ops::topk_rows_backward(exec, plan.index, grad.weight, dprobs);
    if (grad.scores) ops::add(exec, dprobs, grad.scores, dprobs);
    ops::softmax_rows_backward(exec, plan.scores, dprobs, out.logits);
  }
};

}  // namespace

MOIETY_PLUGIN("wrong_cuda", "1.0.0") {
  plugin.add<Gate<Bug::kCpuEqualsCuda>>("wrong_cpu_equals_cuda", "flatter on a GPU");
  plugin.add<Gate<Bug::kNoSync>>("wrong_no_sync", "waits for the device");
  plugin.add<Gate<Bug::kCapture>>("wrong_capture", "asks the device how far it is");
}
