// Header, then data at its offsets.
#include "core/checkpoint/safetensors_writer.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/json.h"

namespace moiety {

std::string safetensors_dtype(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "F32";
    case DType::kBF16: return "BF16";
    case DType::kF16: return "F16";
    default: throw Error(fmt::format("safetensors: {} is not written", name_of(dtype)));
  }
}

/// The reference orders by the width of an element, then by its own list of dtypes.
static int rank_of(DType dtype) { return dtype == DType::kF32 ? 0 : dtype == DType::kBF16 ? 1 : 2; }

uint64_t SafetensorsEntry::bytes() const {
  auto n = static_cast<uint64_t>(size_of(dtype));
  for (const int64_t size : shape) n *= static_cast<uint64_t>(size);
  return n;
}

SafetensorsWriter::SafetensorsWriter(std::filesystem::path file,
                                     std::vector<SafetensorsEntry> entries)
    : path_(std::move(file)), out_(path_, std::ios::binary | std::ios::trunc) {
  MOIETY_CHECK(out_.good(), "{}: cannot be created", path_.string());
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::pair(rank_of(a.dtype), a.name) < std::pair(rank_of(b.dtype), b.name);
  });
  Json::Object header = {{"__metadata__", Json::Object{{"format", "pt"}}}};
  uint64_t end = 0;
  for (const SafetensorsEntry& entry : entries) {
    const uint64_t begin = end;
    end += entry.bytes();
    MOIETY_CHECK(places_.emplace(entry.name, Place{begin, entry.bytes(), false}).second,
                 "{}: tensor '{}' twice", path_.string(), entry.name);
    Json::Array shape(entry.shape.begin(), entry.shape.end());
    header.emplace_back(entry.name, Json::Object{{"dtype", safetensors_dtype(entry.dtype)},
                                                 {"shape", Json(std::move(shape))},
                                                 {"data_offsets", Json::Array{begin, end}}});
  }
  std::string text = Json(std::move(header)).dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string length(8, '\0');
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  out_ << length << text;
  for (auto& [name, place] : places_) place.begin += 8 + text.size();
}

void SafetensorsWriter::write(const std::string& name, const void* data) {
  const auto found = places_.find(name);
  MOIETY_CHECK(found != places_.end() && !found->second.written,
               "{}: tensor '{}' was not announced, or is written twice", path_.string(), name);
  Place& place = found->second;
  out_.seekp(static_cast<std::streamoff>(place.begin));
  out_.write(static_cast<const char*>(data), static_cast<std::streamsize>(place.bytes));
  MOIETY_CHECK(out_.good(), "{}: tensor '{}' cannot be written", path_.string(), name);
  place.written = true;
}

void SafetensorsWriter::finish() {
  for (const auto& [name, place] : places_) {
    MOIETY_CHECK(place.written, "{}: tensor '{}' was not written", path_.string(), name);
  }
  out_.close();
  MOIETY_CHECK(!out_.fail(), "{}: cannot be closed", path_.string());
}

}  // namespace moiety
