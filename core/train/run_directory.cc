#include "core/train/run_directory.h"

#include <fmt/format.h>

#include <sstream>
#include <vector>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/log.h"

namespace moiety {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// A resumed run may be configured anew; the log keeps what changed.
void log_changes(const std::string& before, const std::string& after) {
  const std::vector<std::string> a = lines_of(before), b = lines_of(after);
  if (a.size() != b.size()) log::warning("the configuration changed since the run began");
  for (size_t i = 0; a.size() == b.size() && i < a.size(); ++i) {
    if (a[i] != b[i])
      log::warning(fmt::format("configuration changed: '{}' is now '{}'", a[i], b[i]));
  }
}

}  // namespace

RunDirectory::RunDirectory(fs::path folder) : folder_(std::move(folder)) {
  std::error_code error;
  if (!fs::exists(folder_, error) || fs::is_empty(folder_, error)) {
    start_ = std::make_unique<Start>();
    start_->folder = folder_;
  }
  fs::create_directories(log_file().parent_path(), error);
  if (!error) fs::create_directories(checkpoints(), error);
  MOIETY_CHECK(!error, "run directory {}: {}; choose another with --run-dir", folder_.string(),
               error.message());
}

RunDirectory::Start::~Start() {
  if (begun) return;
  std::error_code ignored;  // what else lies there stays, and so do the folders around it
  for (const char* name :
       {"config.yaml", "provenance.txt", "overrides.txt", "machine.json", "teacher.json",
        "metrics.jsonl", "log/rank_0.log", "log", "checkpoints"}) {
    fs::remove(folder / name, ignored);
  }
}

RunDirectory RunDirectory::create(const fs::path& folder) {
  if (fs::exists(folder) && !fs::is_empty(folder)) {
    throw ConfigError(
        fmt::format("run directory {0} is not empty; add --resume to go on with the run, "
                    "--run-dir OTHER to begin one elsewhere, or remove it with: rm -r {0}",
                    folder.string()));
  }
  return RunDirectory(folder);
}

RunDirectory RunDirectory::open(const fs::path& folder) { return RunDirectory(folder); }

void RunDirectory::write_config(const RunConfig& config, const Json& machine) const {
  const fs::path file = folder_ / "config.yaml";
  if (fs::exists(file)) log_changes(read_file(file), config.resolved_yaml);
  std::string provenance, overrides;
  for (const Provenance& p : config.provenance) {
    provenance += fmt::format("{}: {}  # {}\n", p.path, p.value, p.source);
  }
  for (const std::string& text : config.overrides) overrides += text + "\n";
  replace_file(file, config.resolved_yaml);
  replace_file(folder_ / "provenance.txt", provenance);
  replace_file(folder_ / "overrides.txt", overrides);
  replace_file(folder_ / "machine.json", machine.dump(2) + "\n");
}

void RunDirectory::write_memory(const Json& memory) const {
  replace_file(folder_ / "memory.json", memory.dump(2) + "\n");
}

void RunDirectory::write_status(const Json& status) const {
  replace_file(folder_ / "status.json", status.dump(2) + "\n");
  if (start_) start_->begun = true;
}

void RunDirectory::truncate_metrics(int64_t step) const {
  if (!fs::exists(metrics_file())) return;
  std::string kept;
  for (const std::string& line : lines_of(read_file(metrics_file()))) {
    try {
      const Json row = Json::parse(line);
      if (row.at("step").integer() <= step) kept += line + "\n";
    } catch (const Error&) {
      log::warning("metrics.jsonl: removed a torn row");
    }
  }
  replace_file(metrics_file(), kept);
}

void RunDirectory::append_metrics(const Json& row) {
  if (metrics_ == nullptr) metrics_.reset(std::fopen(metrics_file().c_str(), "ae"));
  const std::string line = row.dump() + "\n";
  MOIETY_CHECK(metrics_ != nullptr &&
                   std::fwrite(line.data(), 1, line.size(), metrics_.get()) == line.size() &&
                   std::fflush(metrics_.get()) == 0,
               "{}: cannot be written; is the disk full?", metrics_file().string());
}

}  // namespace moiety
