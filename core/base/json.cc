#include "core/base/json.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include <moiety/error.h>

#include "core/base/check.h"

namespace moiety {

using Ordered = nlohmann::ordered_json;

static Json from(const Ordered& node) {
  switch (node.type()) {
    case Ordered::value_t::boolean: return Json(node.get<bool>());
    case Ordered::value_t::number_integer:
    case Ordered::value_t::number_unsigned: return Json(node.get<int64_t>());
    case Ordered::value_t::number_float: return Json(node.get<double>());
    case Ordered::value_t::string: return Json(node.get<std::string>());
    case Ordered::value_t::array: {
      Json::Array array;
      for (const auto& element : node) array.push_back(from(element));
      return Json(std::move(array));
    }
    case Ordered::value_t::object: {
      Json::Object object;
      for (const auto& [key, value] : node.items()) object.emplace_back(key, from(value));
      return Json(std::move(object));
    }
    default: return Json();
  }
}

static Ordered to(const Json& json) {
  if (json.is_bool()) return json.boolean();
  if (json.is_string()) return json.string();
  if (json.is_array()) {
    Ordered array = Ordered::array();
    for (const Json& element : json.array()) array.push_back(to(element));
    return array;
  }
  if (json.is_object()) {
    Ordered object = Ordered::object();
    for (const auto& [key, value] : json.object()) object[key] = to(value);
    return object;
  }
  if (!json.is_number()) return nullptr;
  if (json.is_integer()) return json.integer();
  return std::isfinite(json.number()) ? Ordered(json.number()) : Ordered(nullptr);
}

Json Json::parse(std::string_view text) {
  try {
    return from(Ordered::parse(text));
  } catch (const Ordered::exception& e) {
    throw Error(fmt::format("not valid JSON: {}", e.what()));
  }
}

std::string Json::dump(int indent) const {
  return to(*this).dump(indent, ' ', false, Ordered::error_handler_t::replace);
}

bool Json::is_integer() const { return std::holds_alternative<int64_t>(value_); }
bool Json::is_number() const { return is_integer() || std::holds_alternative<double>(value_); }

template <class T>
static const T& need(const T* value, const char* what) {
  if (value == nullptr) throw Error(fmt::format("JSON: expected {}", what));
  return *value;
}

bool Json::boolean() const { return need(std::get_if<bool>(&value_), "true or false"); }
int64_t Json::integer() const { return need(std::get_if<int64_t>(&value_), "an integer"); }
double Json::number() const {
  if (is_integer()) return static_cast<double>(integer());
  return need(std::get_if<double>(&value_), "a number");
}
const std::string& Json::string() const {
  return need(std::get_if<std::string>(&value_), "a string");
}
const Json::Array& Json::array() const { return need(std::get_if<Array>(&value_), "an array"); }
const Json::Object& Json::object() const { return need(std::get_if<Object>(&value_), "an object"); }

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const auto& [name, value] : object()) {
    if (name == key) return &value;
  }
  return nullptr;
}

const Json& Json::at(std::string_view key) const {
  const Json* found = find(key);
  if (found == nullptr) throw Error(fmt::format("JSON: no member '{}'", key));
  return *found;
}

Json& Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = Object();
  MOIETY_CHECK(is_object(), "JSON: cannot set '{}' in something that is not an object", key);
  for (auto& [name, old] : std::get<Object>(value_)) {
    if (name == key) return old = std::move(value), *this;
  }
  std::get<Object>(value_).emplace_back(std::string(key), std::move(value));
  return *this;
}

Json& Json::push(Json value) {
  if (is_null()) value_ = Array();
  MOIETY_CHECK(is_array(), "JSON: cannot append to something that is not an array");
  std::get<Array>(value_).push_back(std::move(value));
  return *this;
}

}  // namespace moiety
