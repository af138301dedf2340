// A training state in one HDF5 file, independent of how it was spread over devices.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/loss_scaler.h"
#include "core/config/run_config.h"
#include "core/model/parameter_table.h"

namespace moiety {

/// Everything but tensors that a run needs to go on.
struct RunState {
  int64_t batch = 0;   // train batches seen, skipped ones too
  int64_t update = 1;  // number of the coming update
  int64_t tokens = 0;  // trained on
  double seconds = 0;  // of training, over all sessions of the run
  int64_t sample = 0;  // data cursor: train samples consumed since the start of epoch 0
  uint64_t seed = 0;
  LossScaler scaler;
  int64_t bad_steps = 0;  // consecutive diverged steps
};

struct PluginIdentity {
  std::string kind, name, version, file, sha256;
};

struct CheckpointInfo {
  int64_t format = 1;
  RunState state;
  std::string resolved_yaml;
  std::string moiety_version;
  std::string hf_config;  // config.json of a model that was imported, as it was read
  std::vector<PluginIdentity> plugins;
  uint32_t manifest = 0;  // CRC-32 of the file's manifest, when read
};

/// Writes `file` whole or not at all (temporary name, checksums, fsync, rename, fsync of the
/// folder).
MOIETY_API void save_checkpoint(const std::filesystem::path& file, const ParameterTable& table,
                                const CheckpointInfo& info);
/// Fills the table (values, masters, optimizer state). Throws Error naming file, dataset and cause.
MOIETY_API CheckpointInfo load_checkpoint(const std::filesystem::path& file, ParameterTable& table);
/// Values alone; missing or unexpected names and shapes are errors.
MOIETY_API void load_weights(const std::filesystem::path& file, ParameterTable& table);
/// model.init_from: values alone, with the layers that it names, and experts made of dense layers
/// where it asks for that (upcycle.h; noise from `seed`). What a new MoE layer has beside experts
/// keeps its own first values, but for: a router has equal columns for the slices of a copy, a
/// residual branch (coefficient) starts as the dense layer, an added one with w_out 0. Throws Error
/// before anything is written when names or shapes do not fit.
MOIETY_API void initialize_from(const InitFrom& from, uint64_t seed, ParameterTable& table);
MOIETY_API CheckpointInfo read_checkpoint_info(const std::filesystem::path& file);
/// Reads everything and checks every checksum; returns what is wrong, one line each.
MOIETY_API std::vector<std::string> verify_checkpoint(const std::filesystem::path& file);
/// What `moiety ckpt inspect` prints.
MOIETY_API std::string describe_checkpoint(const std::filesystem::path& file);

/// checkpoints/step_%08d.h5 and checkpoints/latest (a text file with the name), in a run directory.
class MOIETY_API CheckpointFolder {
 public:
  explicit CheckpointFolder(std::filesystem::path folder, int64_t keep_last);
  std::filesystem::path file_of(int64_t step) const;
  /// save_checkpoint, then `latest` by atomic replace, then removes all but the last `keep_last`.
  void save(int64_t step, const ParameterTable& table, const CheckpointInfo& info);
  /// Those of a finished or a running run, to read from: `source` is its directory or the folder
  /// with its step_*.h5.
  static CheckpointFolder below(const std::filesystem::path& source);
  /// The newest file that verifies; each one that does not is reported to `on_broken`. Changes
  /// nothing: another process may be saving there.
  std::optional<std::filesystem::path> newest_valid(
      const std::function<void(const std::filesystem::path&, const std::string& why)>& on_broken)
      const;
  /// Removes the temporary files of interrupted saves. For the process that saves here, alone.
  void remove_leftovers() const;

 private:
  std::filesystem::path folder_;
  int64_t keep_last_;
};

/// `source` itself, or the newest checkpoint of a run directory, or of its checkpoints/, that
/// verifies; broken ones are reported as warnings. Throws Error where a folder has none.
MOIETY_API std::filesystem::path find_checkpoint(const std::filesystem::path& source);
/// What to tell a user whose `source` of weights does not exist, with the name that was meant.
MOIETY_API std::string no_checkpoint_text(const std::filesystem::path& source);

}  // namespace moiety
