// Names, flags and counts. Memory is parameter_memory.cc's.
#include "core/model/parameter_table.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/strings.h"

namespace moiety {

ParameterTable::ParameterTable() = default;
ParameterTable::~ParameterTable() = default;

TableEntry& ParameterTable::insert(const std::string& name) {
  MOIETY_CHECK(by_name_.count(name) == 0,
               "parameter {} is declared twice; every component needs names of its own", name);
  MOIETY_CHECK(context_ == nullptr, "parameter {} was declared after the table was allocated",
               name);
  TableEntry& entry = entries_.emplace_back();
  entry.name = name;
  by_name_[name] = &entry;
  return entry;
}

Parameter::Impl* ParameterTable::add(const std::string& name, const ParamSpec& spec,
                                     int64_t layer) {
  MOIETY_CHECK(!spec.shape.empty() && spec.shape.size() <= static_cast<size_t>(kMaxRank),
               "parameter {} has {} axes; 1 to {} are supported", name, spec.shape.size(),
               kMaxRank);
  TableEntry& entry = insert(name);
  entry.shape = spec.shape;
  entry.layer = layer;
  entry.parameter.spec = spec;
  entry.parameter.spec.name = name;
  return &entry.parameter;
}

Params::Impl* ParameterTable::declare(const std::string& prefix, const Component& component,
                                      bool expert, int64_t layer) {
  Declarations::Impl declared;
  Declarations to(&declared);
  component.declare(to);
  Params::Impl& view = views_.emplace_back();
  for (const ParamSpec& spec : declared.parameters) {
    Parameter::Impl* parameter = add(prefix + "." + spec.name, spec, layer);
    entries_.back().expert = expert;
    const auto& narrow = declared.compute_gradients;
    parameter->compute_gradient = std::count(narrow.begin(), narrow.end(), spec.name) > 0;
    view.table.emplace_back(spec.name, parameter);
  }
  for (const BufferSpec& spec : declared.buffers) {
    TableEntry& entry = insert(prefix + "." + spec.name);
    entry.shape = spec.shape;
    entry.layer = layer;
    entry.buffer = true;
    entry.expert = expert;
    entry.dtype = spec.dtype;
    entry.parameter.spec.name = entry.name;
    entry.parameter.spec.shape = spec.shape;
    entry.parameter.spec.init = Init::kZeros;
    view.table.emplace_back(spec.name, &entry.parameter);
  }
  return &view;
}

void ParameterTable::freeze(const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    bool matched = false;
    for (TableEntry& entry : entries_) {
      if (entry.buffer || !glob_match(pattern, entry.name)) continue;
      entry.frozen = matched = true;
    }
    if (matched) continue;
    std::vector<std::string> names;
    for (const TableEntry& entry : entries_) names.push_back(entry.name);
    throw ConfigError(fmt::format(
        "model.freeze: '{}' matches no parameter{}; `moiety ckpt inspect` lists the names", pattern,
        did_you_mean(pattern, names)));
  }
}

void ParameterTable::set_grad_mode(GradMode mode) {
  for (TableEntry& entry : entries_) {
    const Parameter::Impl& p = entry.parameter;
    MOIETY_CHECK(mode != GradMode::kAccumulate || !p.grad || p.grad.dtype == DType::kF32,
                 "{}: micro-batches cannot be added up in a gradient of {}", entry.name,
                 name_of(p.grad.dtype));
    entry.parameter.mode = p.grad ? mode : GradMode::kNone;
  }
}

TableEntry* ParameterTable::find(std::string_view name) {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

static int64_t elements(const TableEntry& entry) {
  int64_t n = 1;
  for (const int64_t size : entry.shape) n *= size;
  return n;
}

int64_t ParameterTable::trainable() const {
  int64_t n = 0;
  for (const TableEntry& entry : entries_) n += entry.buffer || entry.frozen ? 0 : elements(entry);
  return n;
}

int64_t ParameterTable::total() const {
  int64_t n = 0;
  for (const TableEntry& entry : entries_) n += entry.buffer ? 0 : elements(entry);
  return n;
}

}  // namespace moiety
