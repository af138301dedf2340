// CIFAR-10's binary files (Krizhevsky, 2009): records of one label byte and 3 x 32 x 32 bytes, the
// planes R, G, B. The files are read whole: 180 MB for all 60000 images.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <moiety/data_source.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;
namespace fs = std::filesystem;

constexpr int64_t kChannels = 3, kSide = 32, kClasses = 10;
constexpr int64_t kPixels = kChannels * kSide * kSide, kRecord = kPixels + 1;

struct Options {
  std::string folder;
  bool mirror = false;
  static void describe(Schema<Options>& s) {
    s.field("folder", &Options::folder,
            "folder with data_batch_1.bin, ... (training) and test_batch.bin (validation)")
        .example(std::string("data/cifar-10-batches-bin"));
    s.field("mirror", &Options::mirror,
            "train on each image and on its mirror image: an epoch is twice as long");
  }
};

class Records {
 public:
  void append(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    if (!in) {
      throw Error("data source cifar10: " + file.string() + ": " + std::strerror(errno) +
                  "; data.params.folder is to hold CIFAR-10's binary version");
    }
    const auto size = static_cast<int64_t>(fs::file_size(file)), before = bytes();
    if (size == 0 || size % kRecord != 0) {
      throw ConfigError(file.string() + " has " + std::to_string(size) +
                        " bytes, expected records of " + std::to_string(kRecord) +
                        " bytes (label, then 3 planes of 32 x 32)");
    }
    bytes_.resize(static_cast<size_t>(before + size));
    in.read(reinterpret_cast<char*>(bytes_.data()) + before, size);
    if (!in) throw Error("data source cifar10: " + file.string() + " could not be read whole");
    for (int64_t i = before / kRecord; i < count(); ++i) {
      if (label(i) < kClasses) continue;
      throw ConfigError(file.string() + ": record " + std::to_string(i - before / kRecord) +
                        " has the label " + std::to_string(label(i)) + ", expected 0 to 9");
    }
  }
  int64_t count() const { return bytes() / kRecord; }
  int32_t label(int64_t i) const { return bytes_[static_cast<size_t>(i * kRecord)]; }
  const uint8_t* pixels(int64_t i) const { return bytes_.data() + i * kRecord + 1; }

 private:
  int64_t bytes() const { return static_cast<int64_t>(bytes_.size()); }
  std::vector<uint8_t> bytes_;
};

std::vector<fs::path> train_files(const std::string& folder) {
  std::vector<fs::path> files;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("data_batch_") && name.ends_with(".bin")) files.push_back(entry.path());
  }
  if (files.empty()) {
    throw ConfigError("data.params.folder '" + folder +
                      "' holds no data_batch_*.bin; expected the folder cifar-10-batches-bin of "
                      "CIFAR-10's binary version");
  }
  std::sort(files.begin(), files.end());
  return files;
}

class Cifar10 final : public DataSource {
 public:
  using Options = ::Options;

  Cifar10(const Options& options, const ModelDims&) : mirror_(options.mirror) {
    for (const fs::path& file : train_files(options.folder)) train_.append(file);
    test_.append(fs::path(options.folder) / "test_batch.bin");
  }

  int64_t size(Split split) const override {
    if (split == Split::kTrain) return train_.count() * (mirror_ ? 2 : 1);
    return split == Split::kValidation ? test_.count() : 0;
  }

  std::vector<Field> fields() const override {
    return {{"image", DType::kU8, {kChannels, kSide, kSide}, 256},
            {"label", DType::kI32, {1}, kClasses}};
  }

  void fill(Split split, int64_t sample, std::span<const TensorView> rows) const override {
    const Records& records = split == Split::kTrain ? train_ : test_;
    const int64_t i = sample % records.count();
    const uint8_t* from = records.pixels(i);
    auto* to = rows[0].data<uint8_t>();
    std::copy_n(from, kPixels, to);
    if (sample != i) {  // the second half of an epoch
      for (int64_t line = 0; line < kChannels * kSide; ++line) {
        std::reverse(to + line * kSide, to + (line + 1) * kSide);
      }
    }
    rows[1].data<int32_t>()[0] = records.label(i);
  }

 private:
  bool mirror_;
  Records train_, test_;
};

}  // namespace

MOIETY_PLUGIN("cifar10", "1.0.0") {
  plugin.add<Cifar10>("cifar10", "the 32 x 32 images of CIFAR-10's binary files");
}
