// Events, and graphs captured from the context's stream.
#include "core/base/check.h"
#include "core/device/context_impl.h"
#include "core/device/cuda_check.h"

namespace moiety::cuda {

namespace {

class CudaEvent final : public Event::Impl {
 public:
  explicit CudaEvent(Device device) {
    MOIETY_CUDA_CHECK(cudaSetDevice(device.index));
    MOIETY_CUDA_CHECK(cudaEventCreate(&event_));
  }
  ~CudaEvent() override { MOIETY_CUDA_WARN(cudaEventDestroy(event_)); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  void record(const DeviceContext& context) override {
    MOIETY_CUDA_CHECK(cudaEventRecord(event_, static_cast<cudaStream_t>(context.stream())));
  }
  bool done() const override {
    const cudaError_t result = cudaEventQuery(event_);
    if (result == cudaErrorNotReady) {
      static_cast<void>(cudaGetLastError());  // an answer, not an error
      return false;
    }
    MOIETY_CUDA_CHECK(result);
    return true;
  }
  void wait() const override { MOIETY_CUDA_CHECK(cudaEventSynchronize(event_)); }
  float milliseconds_since(const Event::Impl& since) const override {
    float milliseconds = 0;
    const auto& begin = static_cast<const CudaEvent&>(since);
    MOIETY_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, begin.event_, event_));
    return milliseconds;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Ends the capture of a stream whatever happens, so that the stream stays usable.
class Capture {
 public:
  explicit Capture(cudaStream_t stream) : stream_(stream) {
    // Other threads (a data loader) may allocate meanwhile.
    MOIETY_CUDA_CHECK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  }
  ~Capture() {
    cudaGraph_t abandoned = nullptr;
    if (open_ && cudaStreamEndCapture(stream_, &abandoned) != cudaSuccess) {
      static_cast<void>(cudaGetLastError());  // the failed work tells why
    }
    if (abandoned != nullptr) MOIETY_CUDA_WARN(cudaGraphDestroy(abandoned));
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  cudaGraph_t end() {
    cudaGraph_t graph = nullptr;
    open_ = false;
    MOIETY_CUDA_CHECK(cudaStreamEndCapture(stream_, &graph));
    return graph;
  }

 private:
  cudaStream_t stream_;
  bool open_ = true;
};

class CudaGraph final : public Graph::Impl {
 public:
  CudaGraph(const DeviceContext& context, const std::function<void()>& work)
      : stream_(static_cast<cudaStream_t>(context.stream())) {
    Capture capture(stream_);
    work();
    const cudaGraph_t graph = capture.end();
    const cudaError_t result = cudaGraphInstantiate(&executable_, graph, 0);
    MOIETY_CUDA_WARN(cudaGraphDestroy(graph));
    MOIETY_CUDA_CHECK(result);
  }
  ~CudaGraph() override { MOIETY_CUDA_WARN(cudaGraphExecDestroy(executable_)); }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  void launch() override { MOIETY_CUDA_CHECK(cudaGraphLaunch(executable_, stream_)); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace

std::unique_ptr<Event::Impl> make_event(Device device) {
  return std::make_unique<CudaEvent>(device);
}
std::unique_ptr<Graph::Impl> make_graph(const DeviceContext& context,
                                        const std::function<void()>& work) {
  return std::make_unique<CudaGraph>(context, work);
}

}  // namespace moiety::cuda
