#include "core/base/log.h"

#include <memory>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace moiety::log {

static spdlog::level::level_enum level_of(Level level) {
  switch (level) {
    case Level::kDebug: return spdlog::level::debug;
    case Level::kInfo: return spdlog::level::info;
    case Level::kWarning: return spdlog::level::warn;
    case Level::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

/// The process has one log, as it has one terminal.
static spdlog::logger& logger() {
  static const auto instance = [] {
    auto terminal = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
    terminal->set_pattern("%^%v%$");
    auto made = std::make_shared<spdlog::logger>("moiety", terminal);
    made->set_level(spdlog::level::info);
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *instance;
}

void write(Level level, const std::string& text) {
  const char* prefix = level == Level::kWarning ? "warning: "
                       : level == Level::kError ? "error: "
                                                : "";
  logger().log(level_of(level), "{}{}", prefix, text);
}

void add_file(const std::filesystem::path& file) {
  auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
  sink->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  logger().sinks().push_back(std::move(sink));
}

void set_level(Level level) { logger().set_level(level_of(level)); }

void flush() { logger().flush(); }

}  // namespace moiety::log
