// Writes a checkpoint file whole or not at all.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "core/checkpoint/layout.h"

namespace moiety {

/// Everything goes to "<file>.tmp"; finish() gives it its name. Without finish() the temporary file
/// is removed.
class MOIETY_API CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path file, const CheckpointInfo& info);
  ~CheckpointWriter();

  /// One data set: a whole tensor, or slice `slice` of an expert tensor. `data` is on the host.
  void add(const SavedTensor& tensor, int64_t slice, const void* data);
  /// An attribute of a data set that was added.
  void set(const SavedTensor& tensor, int64_t slice, const std::string& name,
           const std::string& value);
  /// Checks that every expert was written, seals, syncs and renames the file.
  void finish();

 private:
  std::filesystem::path file_, temporary_;
  std::unique_ptr<h5::File> out_;
  struct Slices {
    int64_t count = 0;
    std::set<int64_t> written;
  };
  std::map<std::string, Slices> experts_;  // path -> what was written
};

}  // namespace moiety
