// The keys of a ds_config into our configuration.
#pragma once

#include <string>
#include <vector>

#include "core/config/import/imported.h"
#include "core/config/node.h"

namespace moiety::config {

struct DeepSpeedNote {
  const char* path;   // of ours
  const char* value;  // the note is for this value alone; "" = any
  const char* text;
};
const std::vector<DeepSpeedNote>& deepspeed_notes();

struct DeepSpeedName {
  const char* path;  // as written
  const char* ours;
  const char* note;
};
const std::vector<DeepSpeedName>& deepspeed_names();

/// JSON as DeepSpeed reads it (HJSON's comments) -> the same JSON without them; lines keep their
/// numbers.
std::string without_comments(const std::string& json);

/// Every key of `root` is set, dropped or refused; then the notes and the defaults that differ.
/// `source` stands before each key in the comments ("ds_config.json: " or "").
void read_deepspeed(const Node& root, const std::string& source, int64_t world_size, Imported& out);

/// What a run in DeepSpeed does by default and one here does not.
void add_deepspeed_defaults(Imported& out);
/// What every configuration needs and the source does not have: data, a batch size.
void add_what_is_missing(Imported& out);

}  // namespace moiety::config
