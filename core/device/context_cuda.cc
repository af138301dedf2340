// A GPU opened for use: streams, BLAS handles, workspace.
#include <cublasLt.h>

#include "core/base/check.h"
#include "core/device/context_impl.h"
#include "core/device/cuda_check.h"

namespace moiety::cuda {

namespace {

class Stream {
 public:
  Stream() { MOIETY_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { MOIETY_CUDA_WARN(cudaStreamDestroy(stream_)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// A cuBLAS handle on a stream, with a workspace of its own so that graphs can hold its calls.
class Blas {
 public:
  Blas(cudaStream_t stream, const Buffer& workspace) {
    MOIETY_CUBLAS_CHECK(cublasCreate(&handle_));
    MOIETY_CUBLAS_CHECK(cublasSetStream(handle_, stream));
    MOIETY_CUBLAS_CHECK(cublasSetWorkspace(handle_, workspace.data(), workspace.bytes()));
    MOIETY_CUBLAS_CHECK(cublasSetMathMode(handle_, CUBLAS_DEFAULT_MATH));  // no TF32
    MOIETY_CUBLAS_CHECK(cublasSetAtomicsMode(handle_, CUBLAS_ATOMICS_NOT_ALLOWED));
  }
  ~Blas() { MOIETY_CUDA_WARN(cublasDestroy(handle_)); }
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;
  cublasHandle_t get() const { return handle_; }

 private:
  cublasHandle_t handle_ = nullptr;
};

class BlasLt {
 public:
  BlasLt() { MOIETY_CUBLAS_CHECK(cublasLtCreate(&handle_)); }
  ~BlasLt() { MOIETY_CUDA_WARN(cublasLtDestroy(handle_)); }
  BlasLt(const BlasLt&) = delete;
  BlasLt& operator=(const BlasLt&) = delete;
  cublasLtHandle_t get() const { return handle_; }

 private:
  cublasLtHandle_t handle_ = nullptr;
};

Device selected(Device device) {
  int count = 0;
  MOIETY_CUDA_CHECK(cudaGetDeviceCount(&count));
  MOIETY_CHECK(device.index >= 0 && device.index < count, "there is no cuda:{}, only {} device{}",
               device.index, count, count == 1 ? "" : "s");
  MOIETY_CUDA_CHECK(cudaSetDevice(device.index));
  return device;
}

class CudaContext final : public DeviceContext::Impl {
 public:
  explicit CudaContext(Device device)
      : device_(selected(device)),
        blas_workspace_(device, kWorkspaceBytes),
        workspace_(device, kWorkspaceBytes),
        blas_(stream_.get(), blas_workspace_) {}

  std::string description() const override {
    cudaDeviceProp properties{};
    MOIETY_CUDA_CHECK(cudaGetDeviceProperties(&properties, device_.index));
    return fmt::format("{}, {:.1f} GiB, sm_{}{}", properties.name,
                       static_cast<double>(properties.totalGlobalMem) / (1 << 30), properties.major,
                       properties.minor);
  }
  int compute_capability() const override {
    int major = 0, minor = 0;
    MOIETY_CUDA_CHECK(
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device_.index));
    MOIETY_CUDA_CHECK(
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device_.index));
    return 10 * major + minor;
  }
  void copy(void* to, const void* from, size_t bytes) const override {
    MOIETY_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_.get()));
  }
  void fill(void* at, uint8_t byte, size_t bytes) const override {
    MOIETY_CUDA_CHECK(cudaMemsetAsync(at, byte, bytes, stream_.get()));
  }
  void synchronize() const override {
    MOIETY_CUDA_CHECK(cudaStreamSynchronize(copy_stream_.get()));
    MOIETY_CUDA_CHECK(cudaStreamSynchronize(stream_.get()));
  }
  DeviceMemory memory() const override {
    DeviceMemory memory;
    MOIETY_CUDA_CHECK(cudaMemGetInfo(&memory.free, &memory.total));
    return memory;
  }
  bool capturing() const override {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    MOIETY_CUDA_CHECK(cudaStreamIsCapturing(stream_.get(), &status));
    return status != cudaStreamCaptureStatusNone;
  }
  void* stream() const override { return stream_.get(); }
  void* copy_stream() const override { return copy_stream_.get(); }
  void* cublas() const override { return blas_.get(); }
  void* cublas_lt() const override { return lt_.get(); }
  TensorView workspace() const override {
    return view_of(workspace_.data(), DType::kU8, {kWorkspaceBytes}, device_);
  }

 private:
  static constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;  // what cuBLAS advises for Hopper

  Device device_;
  Stream stream_, copy_stream_;
  Buffer blas_workspace_, workspace_;
  Blas blas_;
  BlasLt lt_;
};

}  // namespace

std::string unavailable() {
  int driver = 0, runtime = 0, count = 0;
  const auto version = [](int v) { return fmt::format("{}.{}", v / 1000, v % 1000 / 10); };
  const cudaError_t result = cudaGetDeviceCount(&count);
  static_cast<void>(cudaGetLastError());
  if (result == cudaSuccess && count > 0) return "";
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    return "no CUDA driver is installed";
  }
  if (result == cudaErrorInsufficientDriver && cudaRuntimeGetVersion(&runtime) == cudaSuccess) {
    return fmt::format("the CUDA driver is too old: it supports CUDA {}, this binary needs {}",
                       version(driver), version(runtime));
  }
  if (result == cudaErrorNoDevice || result == cudaSuccess) {
    return "there is a CUDA driver but no GPU (is CUDA_VISIBLE_DEVICES empty?)";
  }
  return fmt::format("{} ({})", cudaGetErrorName(result), cudaGetErrorString(result));
}

std::unique_ptr<DeviceContext::Impl> make_context(Device device) {
  return std::make_unique<CudaContext>(device);
}

}  // namespace moiety::cuda
