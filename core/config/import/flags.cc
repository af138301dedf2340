#include "core/config/import/flags.h"

#include <charconv>
#include <cstdlib>
#include <utility>

#include "core/base/strings.h"

namespace moiety::config {

std::string GivenFlag::text() const {
  return values.empty() ? name : name + " " + join(values, " ");
}

void GivenFlags::add(GivenFlag flag) {
  std::erase_if(list_, [&](const GivenFlag& old) { return old.name == flag.name; });
  list_.push_back(std::move(flag));
}

const GivenFlag* GivenFlags::find(const std::string& name) const {
  for (const GivenFlag& flag : list_) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

std::string GivenFlags::value(const std::string& name, const std::string& fallback) const {
  const GivenFlag* flag = find(name);
  return flag == nullptr || flag->values.empty() ? fallback : flag->values[0];
}

int64_t GivenFlags::integer(const std::string& name, int64_t fallback) const {
  const std::string text = value(name);
  int64_t x = 0;
  const char* end = text.data() + text.size();
  if (text.empty() || std::from_chars(text.data(), end, x).ptr != end) return fallback;
  return x;
}

double GivenFlags::number(const std::string& name, double fallback) const {
  const std::string text = value(name);
  char* end = nullptr;
  const double x = std::strtod(text.c_str(), &end);
  return text.empty() || *end != '\0' ? fallback : x;
}

}  // namespace moiety::config
