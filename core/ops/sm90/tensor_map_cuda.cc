// Asks the driver for tensor maps. Its entry point comes through the runtime: nothing links
// libcuda.
#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>

#include <moiety/error.h>

#include "core/device/cuda_check.h"
#include "core/ops/sm90/tensor_map.h"

namespace moiety::ops::sm90 {

namespace {

PFN_cuTensorMapEncodeTiled_v12000 encoder() {
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  MOIETY_CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000,
                                                     cudaEnableDefault, &found));
  if (found != cudaDriverEntryPointSuccess) {
    throw Error("the CUDA driver has no cuTensorMapEncodeTiled; it is older than CUDA 12.0");
  }
  return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(entry);
}

CUtensorMapDataType type_of(Number number) {
  switch (number) {
    case Number::kBF16: return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    case Number::kF16: return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    case Number::kE4M3:
    case Number::kE5M2: return CU_TENSOR_MAP_DATA_TYPE_UINT8;
    default: return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  }
}

}  // namespace

CUtensorMap tensor_map(const Matrix& matrix, int64_t slices, Number number, int box_rows) {
  static const PFN_cuTensorMapEncodeTiled_v12000 encode = encoder();
  CUtensorMap map;
  const cuuint64_t sizes[3] = {static_cast<cuuint64_t>(matrix.columns),
                               static_cast<cuuint64_t>(matrix.rows),
                               static_cast<cuuint64_t>(slices)};
  const auto element = static_cast<cuuint64_t>(bytes_of(number));
  const cuuint64_t bytes[2] = {static_cast<cuuint64_t>(matrix.pitch) * element,
                               static_cast<cuuint64_t>(matrix.pitch * matrix.rows) * element};
  const cuuint32_t box[3] = {static_cast<cuuint32_t>(128 / element),
                             static_cast<cuuint32_t>(box_rows), 1},
                   steps[3] = {1, 1, 1};
  const CUresult result =
      encode(&map, type_of(number), 3, matrix.data, sizes, bytes, box, steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    throw Error("cuTensorMapEncodeTiled refused a matrix of " + std::to_string(matrix.rows) +
                " x " + std::to_string(matrix.columns) + " (error " + std::to_string(result) + ")");
  }
  return map;
}

}  // namespace moiety::ops::sm90
