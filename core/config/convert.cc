// Value <-> members of RunConfig. Values are already of the declared type.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config/keys.h"

namespace moiety::config {

Value to_value(bool x) { return x; }
Value to_value(int64_t x) { return x; }
Value to_value(uint64_t x) { return static_cast<int64_t>(x); }
Value to_value(double x) { return x; }
Value to_value(const std::string& x) { return x; }
Value to_value(const std::filesystem::path& x) { return x.string(); }
Value to_value(const std::vector<std::string>& x) { return x; }
Value to_value(const std::vector<int64_t>& x) { return std::vector<double>(x.begin(), x.end()); }
Value to_value(const std::vector<std::filesystem::path>& x) {
  std::vector<std::string> texts;
  for (const std::filesystem::path& path : x) texts.push_back(path.string());
  return texts;
}

void from_value(const Value& value, bool& x) { x = std::get<bool>(value); }
void from_value(const Value& value, int64_t& x) { x = std::get<int64_t>(value); }
void from_value(const Value& value, uint64_t& x) {
  x = static_cast<uint64_t>(std::get<int64_t>(value));
}
void from_value(const Value& value, double& x) { x = std::get<double>(value); }
void from_value(const Value& value, std::string& x) { x = std::get<std::string>(value); }
void from_value(const Value& value, std::filesystem::path& x) { x = std::get<std::string>(value); }
void from_value(const Value& value, std::vector<std::string>& x) {
  x = std::get<std::vector<std::string>>(value);
}
void from_value(const Value& value, std::vector<int64_t>& x) {
  x.clear();
  for (const double number : std::get<std::vector<double>>(value)) {
    x.push_back(static_cast<int64_t>(number));
  }
}
void from_value(const Value& value, std::vector<std::filesystem::path>& x) {
  const auto& texts = std::get<std::vector<std::string>>(value);
  x.assign(texts.begin(), texts.end());
}

}  // namespace moiety::config
