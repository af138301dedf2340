// Addresses for all of a device's memory, of which as much is mapped as was asked for. The driver's
// entry points come through the runtime: nothing links libcuda.
#include <cudaTypedefs.h>

#include <algorithm>

#include "core/base/check.h"
#include "core/device/context_impl.h"
#include "core/device/cuda_check.h"
#include "core/device/growing_memory.h"

namespace moiety::cuda {

namespace {

template <class F>
F entry_point(const char* name) {
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t result =
      cudaGetDriverEntryPointByVersion(name, &entry, 10020, cudaEnableDefault, &found);
  if (result != cudaSuccess) static_cast<void>(cudaGetLastError());
  return found == cudaDriverEntryPointSuccess ? reinterpret_cast<F>(entry) : nullptr;
}

struct Driver {
  PFN_cuDeviceGetAttribute_v2000 attribute =
      entry_point<PFN_cuDeviceGetAttribute_v2000>("cuDeviceGetAttribute");
  PFN_cuMemGetAllocationGranularity_v10020 granularity =
      entry_point<PFN_cuMemGetAllocationGranularity_v10020>("cuMemGetAllocationGranularity");
  PFN_cuMemAddressReserve_v10020 reserve =
      entry_point<PFN_cuMemAddressReserve_v10020>("cuMemAddressReserve");
  PFN_cuMemAddressFree_v10020 free_addresses =
      entry_point<PFN_cuMemAddressFree_v10020>("cuMemAddressFree");
  PFN_cuMemCreate_v10020 create = entry_point<PFN_cuMemCreate_v10020>("cuMemCreate");
  PFN_cuMemRelease_v10020 release = entry_point<PFN_cuMemRelease_v10020>("cuMemRelease");
  PFN_cuMemMap_v10020 map = entry_point<PFN_cuMemMap_v10020>("cuMemMap");
  PFN_cuMemUnmap_v10020 unmap = entry_point<PFN_cuMemUnmap_v10020>("cuMemUnmap");
  PFN_cuMemSetAccess_v10020 set_access = entry_point<PFN_cuMemSetAccess_v10020>("cuMemSetAccess");

  bool serves(Device device) const {
    int able = 0;
    return attribute != nullptr && granularity != nullptr && reserve != nullptr &&
           free_addresses != nullptr && create != nullptr && release != nullptr && map != nullptr &&
           unmap != nullptr && set_access != nullptr &&
           attribute(&able, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED,
                     device.index) == CUDA_SUCCESS &&
           able != 0;
  }
};

const Driver& driver() {
  static const Driver functions;
  return functions;
}

void check(CUresult result, const char* what) {
  MOIETY_CHECK(result == CUDA_SUCCESS, "{} failed with error {} of the CUDA driver", what,
               static_cast<int>(result));
}

class MappedMemory final : public GrowingMemory {
 public:
  explicit MappedMemory(Device device) : device_(device) {
    MOIETY_CUDA_CHECK(cudaSetDevice(device.index));
    kind_.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    kind_.location = {CU_MEM_LOCATION_TYPE_DEVICE, {device.index}};
    check(driver().granularity(&page_, &kind_, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
          "cuMemGetAllocationGranularity");
    size_t free = 0, total = 0;
    MOIETY_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    capacity_ = (total + page_ - 1) / page_ * page_;
    check(driver().reserve(&address_, capacity_, 0, 0, 0), "cuMemAddressReserve");
  }
  ~MappedMemory() override {
    MOIETY_CUDA_WARN(cudaDeviceSynchronize());  // as cudaFree waits for what may still use it
    if (bytes_ > 0) driver().unmap(address_, bytes_);
    driver().free_addresses(address_, capacity_);
    count_memory(device_, -static_cast<ptrdiff_t>(bytes_));
  }
  MappedMemory(const MappedMemory&) = delete;
  MappedMemory& operator=(const MappedMemory&) = delete;

  void* data() const override { return reinterpret_cast<void*>(address_); }
  size_t bytes() const override { return bytes_; }
  bool grow(size_t bytes) override {
    if (bytes <= bytes_) return true;
    // A call of the driver for each small tensor would take long: steps grow up to 16 MiB.
    const size_t wanted = std::max(bytes - bytes_, std::min(bytes_, size_t{1} << 24));
    const size_t more = (wanted + page_ - 1) / page_ * page_;
    if (bytes_ + more > capacity_) throw_out_of_memory(device_, more);
    CUmemGenericAllocationHandle piece = 0;
    const CUresult made = driver().create(&piece, more, &kind_, 0);
    if (made == CUDA_ERROR_OUT_OF_MEMORY) throw_out_of_memory(device_, more);
    check(made, "cuMemCreate");
    const CUdeviceptr end = address_ + bytes_;
    const CUresult mapped = driver().map(end, more, 0, piece, 0);
    driver().release(piece);  // the mapping holds it
    check(mapped, "cuMemMap");
    bytes_ += more;  // unmapped with the rest, whatever follows
    count_memory(device_, static_cast<ptrdiff_t>(more));
    CUmemAccessDesc access = {};
    access.location = kind_.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    check(driver().set_access(end, more, &access, 1), "cuMemSetAccess");
    return true;
  }

 private:
  Device device_;
  CUmemAllocationProp kind_ = {};
  CUdeviceptr address_ = 0;
  size_t page_ = 0, capacity_ = 0, bytes_ = 0;
};

}  // namespace

std::unique_ptr<GrowingMemory> make_mapped_memory(Device device, size_t bytes) {
  MOIETY_CUDA_CHECK(cudaSetDevice(device.index));
  if (!driver().serves(device)) return nullptr;
  auto memory = std::make_unique<MappedMemory>(device);
  memory->grow(bytes);
  return memory;
}

}  // namespace moiety::cuda
