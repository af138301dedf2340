#include "core/config/import/imported.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/config/component.h"
#include "core/config/keys.h"
#include "core/config/scheduler.h"

namespace moiety::config {
namespace {

/// The declared key that `path` is, or lies in.
const Key* key_of(const std::string& path) {
  for (std::string part = path;;) {
    if (const Key* key = Keys::all().find(part)) return key;
    const size_t dot = part.rfind('.');
    if (dot == std::string::npos) return nullptr;
    part.resize(dot);
  }
}

/// A component, by its whole path or by what lies in it; else the key has to be a plain one.
bool can_set(const std::string& path) {
  const Key* key = key_of(path);
  if (key == nullptr) return false;
  switch (key->role) {
    case KeyRole::kComponent:
    case KeyRole::kScheduler: return path != key->path();
    case KeyRole::kAccepted:
    case KeyRole::kLater: return false;
    default: return path == key->path();
  }
}

}  // namespace

void Imported::set(const std::string& path, const std::string& value, const std::string& source,
                   const std::string& note_text) {
  if (!can_set(path)) {
    refuse(source, "needs the key " + path + ", which this version does not have");
    return;
  }
  const auto it = std::find_if(keys_.begin(), keys_.end(),
                               [&](const ImportedKey& key) { return key.path == path; });
  ImportedKey& key = it == keys_.end() ? keys_.emplace_back() : *it;
  key.path = path, key.value = value, key.source = source;
  const bool known = std::find(key.notes.begin(), key.notes.end(), note_text) != key.notes.end();
  if (!note_text.empty() && !known) key.notes.push_back(note_text);
}

void Imported::set_default(const std::string& path, const std::string& value,
                           const std::string& source, const std::string& note_text) {
  if (find(path) == nullptr && can_set(path)) set(path, value, source, note_text);
}

bool Imported::has_type(const std::string& path, const std::string& type) const {
  const Key* key = Keys::all().find(path);
  if (key == nullptr) return false;
  if (key->role == KeyRole::kScheduler) {
    const auto& types = scheduler_types();
    return std::any_of(types.begin(), types.end(),
                       [&](const SchedulerType& known) { return known.name == type; });
  }
  const std::vector<std::string> names = plugins_.names(key->kind);
  return std::find(names.begin(), names.end(), type) != names.end();
}

bool Imported::set_type(const std::string& path, const std::string& type, const std::string& source,
                        const std::string& note_text) {
  if (has_type(path, type)) {
    set(path + ".type", type, source, note_text);
    return true;
  }
  const Key* key = Keys::all().find(path);
  const bool schedule = key != nullptr && key->role == KeyRole::kScheduler;
  refuse(source, schedule ? "needs the schedule '" + type + "', which this version does not have"
                          : "needs the " + kind_text(key->kind) + " '" + type +
                                "', which is not installed");
  return false;
}

void Imported::note(const std::string& path, const std::string& text) {
  for (ImportedKey& key : keys_) {
    if (key.path != path) continue;
    key.notes.push_back(text);
    return;
  }
  notes_.push_back(text);
}

void Imported::refuse(const std::string& source, const std::string& reason) {
  refused_.push_back({source, reason});
}

void Imported::drop(const std::string& source, const std::string& reason) {
  dropped_.push_back({source, reason});
}

void Imported::erase(const std::string& path) {
  std::erase_if(keys_, [&](const ImportedKey& key) { return key.path == path; });
}

const ImportedKey* Imported::find(const std::string& path) const {
  for (const ImportedKey& key : keys_) {
    if (key.path == path) return &key;
  }
  return nullptr;
}

bool Imported::mentions(const std::string& name) const {
  const auto in = [&](const std::string& text) {
    for (size_t at = text.find(name); at != text.npos; at = text.find(name, at + 1)) {
      const size_t end = at + name.size();
      if (end == text.size() || text[end] == ' ') return true;
    }
    return false;
  };
  const auto of = [&](const auto& item) { return in(item.source); };
  return std::any_of(keys_.begin(), keys_.end(), of) ||
         std::any_of(refused_.begin(), refused_.end(), of) ||
         std::any_of(dropped_.begin(), dropped_.end(), of);
}

int64_t Imported::integer(const std::string& path, int64_t fallback) const {
  const ImportedKey* key = find(path);
  if (key == nullptr) return fallback;
  int64_t x = fallback;
  const char* end = key->value.data() + key->value.size();
  return std::from_chars(key->value.data(), end, x).ptr == end ? x : fallback;
}

std::vector<std::string> Imported::refusals() const {
  std::vector<std::string> out;
  for (const Remark& remark : refused_) out.push_back(remark.source + ": " + remark.reason);
  return out;
}

}  // namespace moiety::config
