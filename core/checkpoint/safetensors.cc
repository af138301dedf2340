#include "core/checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>

#include "core/base/check.h"
#include "core/base/json.h"

namespace moiety {

namespace {

constexpr uint64_t kLargestHeader = 100'000'000;  // the reference implementation's own limit

std::optional<uint64_t> element_bytes(const std::string& dtype) {
  static const std::map<std::string, uint64_t> sizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
      {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
      {"U32", 4},  {"F32", 4}, {"I64", 8}, {"U64", 8},     {"F64", 8}};
  const auto found = sizes.find(dtype);
  if (found == sizes.end()) return std::nullopt;
  return found->second;
}

/// Product of the shape and the element size, or nothing when it does not fit 64 bits.
std::optional<uint64_t> bytes_of(const SafetensorsFile::Entry& entry, uint64_t element) {
  uint64_t bytes = element;
  for (const int64_t size : entry.shape) {
    const auto factor = static_cast<uint64_t>(size);
    if (factor != 0 && bytes > std::numeric_limits<uint64_t>::max() / factor) return std::nullopt;
    bytes *= factor;
  }
  return bytes;
}

/// Whether brackets nest no deeper than a sound header's do: the JSON reader is recursive.
bool is_shallow(const std::string& text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\') ++i;
    if (c == '"' && i < text.size()) quoted = !quoted;
    if (quoted) continue;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > 16) return false;
  }
  return true;
}

uint64_t unsigned_of(const Json& value) {
  const int64_t x = value.integer();
  if (x < 0) throw Error(fmt::format("{} is negative", x));
  return static_cast<uint64_t>(x);
}

SafetensorsFile::Entry parse_entry(const Json& json) {
  SafetensorsFile::Entry entry;
  entry.dtype = json.at("dtype").string();
  for (const Json& size : json.at("shape").array()) {
    entry.shape.push_back(static_cast<int64_t>(unsigned_of(size)));
  }
  const Json::Array& offsets = json.at("data_offsets").array();
  if (offsets.size() != 2) throw Error("data_offsets must be two numbers");
  entry.begin = unsigned_of(offsets[0]);
  entry.end = unsigned_of(offsets[1]);
  return entry;
}

}  // namespace

void SafetensorsFile::fail(const std::string& what) const {
  throw Error(fmt::format("{}: not a sound safetensors file: {}", path_.string(), what));
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file) : path_(file) {
  std::ifstream in(file, std::ios::binary);
  MOIETY_CHECK(in.good(), "{}: cannot be opened", file.string());
  const uint64_t file_bytes = std::filesystem::file_size(file);
  uint8_t length[8];
  if (!in.read(reinterpret_cast<char*>(length), sizeof length)) fail("shorter than 8 bytes");
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < 8; ++i) header_bytes |= uint64_t{length[i]} << (8 * i);
  if (header_bytes > kLargestHeader || header_bytes > file_bytes - 8) {
    fail(fmt::format("a header of {} bytes in a file of {}", header_bytes, file_bytes));
  }
  std::string text(header_bytes, '\0');
  if (!in.read(text.data(), static_cast<std::streamsize>(text.size())))
    fail("the header ends early");
  data_begin_ = 8 + header_bytes;
  const uint64_t data_bytes = file_bytes - data_begin_;
  if (!is_shallow(text)) fail("the header is nested too deeply");
  Json header;
  try {
    header = Json::parse(text);
  } catch (const Error& e) {
    fail(e.what());
  }
  if (!header.is_object()) fail("the header is not an object");
  for (const auto& [name, value] : header.object()) {
    if (name == "__metadata__") continue;
    Entry entry;
    try {
      entry = parse_entry(value);
    } catch (const Error& e) {
      fail(fmt::format("tensor '{}': {}", name, e.what()));
    }
    if (!entries_.emplace(name, std::move(entry)).second) fail("tensor '" + name + "' twice");
  }
  check_layout(data_bytes);
}

void SafetensorsFile::check_layout(uint64_t data_bytes) const {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const auto& [name, entry] : entries_) {
    const std::optional<uint64_t> element = element_bytes(entry.dtype);
    if (!element) fail(fmt::format("tensor '{}': unknown dtype {}", name, entry.dtype));
    if (entry.begin > entry.end || entry.end > data_bytes) {
      fail(fmt::format("tensor '{}': bytes {} to {} of {}", name, entry.begin, entry.end,
                       data_bytes));
    }
    const std::optional<uint64_t> bytes = bytes_of(entry, *element);
    if (bytes != entry.end - entry.begin) {
      fail(fmt::format("tensor '{}': {} bytes for its shape and dtype {}", name,
                       entry.end - entry.begin, entry.dtype));
    }
    ranges.emplace_back(entry.begin, entry.end);
  }
  std::sort(ranges.begin(), ranges.end());
  // No byte belongs to two tensors or to none; the latter is how a duplicate name would show.
  uint64_t end = 0;
  for (const auto& range : ranges) {
    if (range.first != end) fail("tensors overlap or leave gaps");
    end = range.second;
  }
  if (end != data_bytes) fail("bytes after the last tensor");
}

const SafetensorsFile::Entry& SafetensorsFile::entry(const std::string& name) const {
  const auto found = entries_.find(name);
  MOIETY_CHECK(found != entries_.end(), "{}: no tensor '{}'", path_.string(), name);
  return found->second;
}

DType SafetensorsFile::dtype(const std::string& name) const {
  const std::string& dtype = entry(name).dtype;
  if (dtype == "F32") return DType::kF32;
  if (dtype == "BF16") return DType::kBF16;
  MOIETY_CHECK(dtype == "F16", "{}: tensor '{}' is {}, expected F32, BF16 or F16", path_.string(),
               name, dtype);
  return DType::kF16;
}

std::vector<uint8_t> SafetensorsFile::read_bytes(const std::string& name) const {
  const Entry& found = entry(name);
  std::vector<uint8_t> bytes(found.end - found.begin);
  std::ifstream in(path_, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(data_begin_ + found.begin));
  if (!in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()))) {
    fail("the data of tensor '" + name + "' ends early");
  }
  return bytes;
}

std::vector<float> SafetensorsFile::read(const std::string& name) const {
  const bool f32 = dtype(name) == DType::kF32, bf16 = dtype(name) == DType::kBF16;
  const std::vector<uint8_t> bytes = read_bytes(name);
  std::vector<float> values(bytes.size() / (f32 ? 4 : 2));
  if (values.empty()) return values;
  if (f32) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, &bytes[2 * i], 2);
    BFloat16 b;
    Float16 h;
    b.bits = bits, h.bits = bits;
    values[i] = bf16 ? static_cast<float>(b) : static_cast<float>(h);
  }
  return values;
}

}  // namespace moiety
