#include "core/checkpoint/writer.h"

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/checkpoint/crc32.h"

namespace moiety {

CheckpointWriter::CheckpointWriter(std::filesystem::path file, const CheckpointInfo& info)
    : file_(std::move(file)), temporary_(file_.string() + ".tmp") {
  const std::filesystem::path folder = file_.parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder);
  out_ = std::make_unique<h5::File>(temporary_, h5::File::Mode::kCreate);
  CheckpointInfo written = info;
  written.format = kCheckpointFormat;
  write_info(*out_, written);
}

CheckpointWriter::~CheckpointWriter() {
  if (out_ == nullptr) return;
  out_.reset();
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

void CheckpointWriter::add(const SavedTensor& tensor, int64_t slice, const void* data) {
  const std::string path = tensor.slice_path(slice);
  if (tensor.per_expert) {
    Slices& slices = experts_[tensor.path];
    slices.count = tensor.slices();
    MOIETY_CHECK(slice >= 0 && slice < slices.count, "{}: /{}: there are {} experts",
                 file_.string(), path, slices.count);
    MOIETY_CHECK(slices.written.insert(slice).second, "{}: /{} is written twice", file_.string(),
                 path);
  }
  const std::vector<int64_t> shape = tensor.slice_shape();
  out_->write(path, tensor.dtype, shape, data);
  const auto bytes = static_cast<size_t>(tensor.slice_elements() * size_of(tensor.dtype));
  out_->set(path, "crc32", int64_t{crc32(data, bytes)});
  out_->set(path, "dtype", std::string(name_of(tensor.dtype)));
}

void CheckpointWriter::set(const SavedTensor& tensor, int64_t slice, const std::string& name,
                           const std::string& value) {
  out_->set(tensor.slice_path(slice), name, value);
}

void CheckpointWriter::finish() {
  for (const auto& [path, slices] : experts_) {
    const auto written = static_cast<int64_t>(slices.written.size());
    MOIETY_CHECK(written == slices.count, "{}: /{}: {} of {} experts were written", file_.string(),
                 path, written, slices.count);
    out_->set(path, "experts", slices.count);
  }
  const uint32_t crc = manifest_crc(*out_);
  out_->sync();  // the data is on the disk before the mark says so
  out_->set("", "manifest_crc32", int64_t{crc});
  out_->set("", "complete", int64_t{1});
  out_->sync();
  out_->close();
  std::filesystem::rename(temporary_, file_);
  out_.reset();
  const std::filesystem::path folder = file_.parent_path();
  sync_folder(folder.empty() ? "." : folder);
}

}  // namespace moiety
