// The folder of a run (docs/run_directory.md): what was configured, what happened, what was saved.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "core/base/json.h"
#include "core/config/run_config.h"

namespace moiety {

class MOIETY_API RunDirectory {
 public:
  /// A fresh run: throws ConfigError, saying what to type, when the folder holds a run already.
  /// Until the first status is written the run has not begun: the destructor takes back what was
  /// made, so that a start that was refused does not refuse the corrected one.
  static RunDirectory create(const std::filesystem::path& folder);
  /// A run to go on with; an empty or missing folder is a fresh one.
  static RunDirectory open(const std::filesystem::path& folder);

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }
  std::filesystem::path metrics_file() const { return folder_ / "metrics.jsonl"; }
  std::filesystem::path log_file() const { return folder_ / "log" / "rank_0.log"; }
  /// config.yaml, provenance.txt, overrides.txt and machine.json. Logs what differs from the
  /// configuration that was there.
  void write_config(const RunConfig& config, const Json& machine) const;
  /// memory.json, of the last process that trained.
  void write_memory(const Json& memory) const;
  /// Replaces status.json as a whole.
  void write_status(const Json& status) const;
  /// Removes the rows of metrics.jsonl past `step`, and a torn last one.
  void truncate_metrics(int64_t step) const;
  void append_metrics(const Json& row);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  /// A fresh folder. What was made there is taken back unless the run has begun.
  struct Start {
    ~Start();
    std::filesystem::path folder;
    bool begun = false;
  };
  explicit RunDirectory(std::filesystem::path folder);
  std::filesystem::path folder_;
  std::unique_ptr<Start> start_;  // null in a folder with something in it
  std::unique_ptr<std::FILE, Close> metrics_;
};

}  // namespace moiety
