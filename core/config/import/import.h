// Other trainers' configurations -> our YAML: a ds_config of DeepSpeed, a launch line of
// Megatron-DeepSpeed. Every key and flag is mapped, or named with the reason why it is not.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <moiety/export.h>

namespace moiety {

class PluginRegistry;

struct ImportOptions {
  int64_t world_size = 0;        // ranks of the run; 0 = what the launcher says, else 1
  std::filesystem::path folder;  // of files that the source names, such as --deepspeed_config
};

struct ImportResult {
  std::string yaml;                  // with comments; `config check` accepts it
  std::vector<std::string> refused;  // "--mos: needs the objective 'mos', which is not installed"
  int64_t world_size = 1;            // for `config check --world-size`
};

/// `text` is JSON as DeepSpeed reads it: comments and trailing commas are allowed, duplicate keys
/// are not. `shown_name` stands in messages. Throws ConfigError where the text is no map.
MOIETY_API ImportResult import_deepspeed(const std::string& text, const std::string& shown_name,
                                         const ImportOptions& options, PluginRegistry& plugins);

/// `text` is a launch line ("deepspeed pretrain_gpt.py --num-layers 24 ..."), its flags alone, or a
/// shell script with one in it. Throws ConfigError where no command starts a training.
MOIETY_API ImportResult import_arguments(const std::string& text, const std::string& shown_name,
                                         const ImportOptions& options, PluginRegistry& plugins);

}  // namespace moiety
