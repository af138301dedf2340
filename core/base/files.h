// Files that are there whole or not at all.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <moiety/export.h>

namespace moiety {

MOIETY_API std::string read_file(const std::filesystem::path& file);  ///< throws Error
/// Temporary name, fsync, rename, fsync of the folder.
MOIETY_API void replace_file(const std::filesystem::path& file, std::string_view text);
MOIETY_API void sync_folder(const std::filesystem::path& folder);
MOIETY_API std::string sha256_of_file(const std::filesystem::path& file);  ///< hexadecimal
MOIETY_API std::filesystem::path executable_path();

}  // namespace moiety
