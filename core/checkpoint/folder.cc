// checkpoints/ of a run directory.
#include <algorithm>
#include <functional>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/strings.h"
#include "core/checkpoint/checkpoint.h"

namespace moiety {

namespace {

/// Files of finished saves, newest first. Eight digits or more: numbers compare, not names.
std::vector<std::pair<int64_t, std::filesystem::path>> saved_files(
    const std::filesystem::path& folder) {
  std::vector<std::pair<int64_t, std::filesystem::path>> files;
  if (!std::filesystem::is_directory(folder)) return files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!glob_match("step_*.h5", name)) continue;
    const std::string digits = name.substr(5, name.size() - 8);
    const bool number = !digits.empty() && digits.size() < 19 &&
                        digits.find_first_not_of("0123456789") == std::string::npos;
    if (number) files.emplace_back(std::stoll(digits), entry.path());
  }
  std::sort(files.begin(), files.end(), std::greater<>());
  return files;
}

}  // namespace

CheckpointFolder::CheckpointFolder(std::filesystem::path folder, int64_t keep_last)
    : folder_(std::move(folder)), keep_last_(keep_last) {}

std::filesystem::path CheckpointFolder::file_of(int64_t step) const {
  return folder_ / fmt::format("step_{:08}.h5", step);
}

void CheckpointFolder::save(int64_t step, const ParameterTable& table, const CheckpointInfo& info) {
  const std::filesystem::path file = file_of(step);
  save_checkpoint(file, table, info);
  replace_file(folder_ / "latest", file.filename().string() + "\n");
  if (keep_last_ <= 0) return;
  // A run that was resumed from an older file leaves newer steps behind: this one is kept anyway.
  auto files = saved_files(folder_);
  std::erase_if(files, [&](const auto& f) { return f.second == file; });
  for (size_t i = static_cast<size_t>(keep_last_ - 1); i < files.size(); ++i) {
    std::filesystem::remove(files[i].second);
  }
}

CheckpointFolder CheckpointFolder::below(const std::filesystem::path& source) {
  const std::filesystem::path of_run = source / "checkpoints";
  return CheckpointFolder(std::filesystem::is_directory(of_run) ? of_run : source, 0);
}

void CheckpointFolder::remove_leftovers() const {
  if (!std::filesystem::is_directory(folder_)) return;
  std::vector<std::filesystem::path> leftovers;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (entry.path().filename().string().find(".tmp") != std::string::npos) {
      leftovers.push_back(entry.path());
    }
  }
  for (const auto& file : leftovers) std::filesystem::remove(file);
}

std::optional<std::filesystem::path> CheckpointFolder::newest_valid(
    const std::function<void(const std::filesystem::path&, const std::string& why)>& on_broken)
    const {
  for (const auto& [step, file] : saved_files(folder_)) {
    const std::vector<std::string> wrong = verify_checkpoint(file);
    if (wrong.empty()) return file;
    const std::string more = fmt::format(" (and {} more)", wrong.size() - 1);
    on_broken(file, wrong[0] + (wrong.size() > 1 ? more : ""));
  }
  return std::nullopt;
}

std::filesystem::path find_checkpoint(const std::filesystem::path& source) {
  if (!std::filesystem::is_directory(source)) return source;
  const CheckpointFolder folder = CheckpointFolder::below(source);
  const auto file = folder.newest_valid([](const auto& broken, const std::string& why) {
    log::warning(fmt::format("{}: {}", broken.string(), why));
  });
  MOIETY_CHECK(file, "{}: no valid checkpoint below it; train one first", source.string());
  return *file;
}

std::string no_checkpoint_text(const std::filesystem::path& source) {
  std::vector<std::string> beside;
  std::error_code none;
  const bool nested = source.has_parent_path();
  const std::filesystem::path folder = nested ? source.parent_path() : std::filesystem::path(".");
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    beside.push_back(nested ? entry.path().string() : entry.path().filename().string());
  }
  const std::string hint = did_you_mean(source.string(), beside);
  return fmt::format("no file or folder '{}'{}{} expected a run directory or a checkpoint (.h5)",
                     source.string(), hint, hint.empty() ? ";" : "");
}

}  // namespace moiety
