// The log of a process: terminal and run/log/rank_N.log. spdlog lives in log.cc alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <moiety/export.h>

namespace moiety::log {

enum class Level : uint8_t { kDebug, kInfo, kWarning, kError };

MOIETY_API void write(Level level, const std::string& text);
inline void debug(const std::string& text) { write(Level::kDebug, text); }
inline void info(const std::string& text) { write(Level::kInfo, text); }
inline void warning(const std::string& text) { write(Level::kWarning, text); }
inline void error(const std::string& text) { write(Level::kError, text); }

/// Everything from now on also goes to this file (appended).
MOIETY_API void add_file(const std::filesystem::path& file);
MOIETY_API void set_level(Level level);
MOIETY_API void flush();

}  // namespace moiety::log
