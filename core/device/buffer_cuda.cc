// Device and pinned memory.
#include "core/base/check.h"
#include "core/base/out_of_memory.h"
#include "core/device/context_impl.h"
#include "core/device/cuda_check.h"

namespace moiety::cuda {

void throw_out_of_memory(Device device, size_t bytes) {
  size_t free = 0, total = 0;
  MOIETY_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  throw OutOfMemory(fmt::format(
      "out of memory on cuda:{}: {} MiB were asked for, {} of {} MiB are free, this process "
      "holds {} MiB; a smaller train_micro_batch_size_per_gpu needs less",
      device.index, bytes >> 20, free >> 20, total >> 20, memory_use(device).now >> 20));
}

void* allocate(Device device, size_t bytes) {
  MOIETY_CUDA_CHECK(cudaSetDevice(device.index));
  void* at = nullptr;
  const cudaError_t result = cudaMalloc(&at, bytes);
  if (result == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    throw_out_of_memory(device, bytes);
  }
  MOIETY_CUDA_CHECK(result);
  return at;
}

void release(Device device, void* at) noexcept {
  MOIETY_CUDA_WARN(cudaSetDevice(device.index));
  MOIETY_CUDA_WARN(cudaFree(at));
}

void* allocate_pinned(size_t bytes) {
  void* at = nullptr;
  MOIETY_CUDA_CHECK(cudaMallocHost(&at, bytes));
  return at;
}

void release_pinned(void* at) noexcept { MOIETY_CUDA_WARN(cudaFreeHost(at)); }

}  // namespace moiety::cuda
