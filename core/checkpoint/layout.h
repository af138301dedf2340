// Where things lie in a checkpoint file: docs/checkpoint_format.md in code.
#pragma once

#include <cstdint>
#include <string>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/hdf5.h"
#include "core/checkpoint/shapes.h"

namespace moiety {

inline constexpr int64_t kCheckpointFormat = 1;
/// Attribute of a data set that was imported in another dtype: those of its source's tensors, in
/// the order of the columns ("bf16,f32").
inline constexpr const char* kSourceDtypes = "source_dtypes";

/// A tensor of the training state and the path under which it is saved.
struct SavedTensor {
  std::string path;            // "parameters/layers.1.moe.experts.w_in"
  std::vector<int64_t> shape;  // of the whole tensor
  DType dtype = DType::kF32;
  bool per_expert = false;  // a group with one data set per slice of axis 0
  TableEntry* entry = nullptr;
  TensorView memory;  // where it lies on the device; of split masters the values alone

  int64_t slices() const { return per_expert ? shape[0] : 1; }
  /// f32 masters that lie in two tensors: ParameterTable::read_part joins them.
  bool is_split() const { return dtype != memory.dtype; }
  std::vector<int64_t> slice_shape() const;
  int64_t slice_elements() const;
  /// "<path>/expert_00003", or the path itself.
  std::string slice_path(int64_t slice) const;
};

/// Values (f32 masters) and buffers of a table, and with `state` the optimizer's.
std::vector<SavedTensor> tensors_of(const ParameterTable& table, bool state);

void write_info(h5::File& file, const CheckpointInfo& info);
CheckpointInfo read_info(const h5::File& file);

/// CRC-32 of all names, shapes, dtypes, attributes and checksums in a file. The root's attributes
/// `complete` and `manifest_crc32`, written after everything else, are left out.
uint32_t manifest_crc(const h5::File& file);
/// Throws Error unless the file is complete and its manifest is what was written.
void check_manifest(const h5::File& file);

}  // namespace moiety
