// Looks at a shared library's bytes without running any of its code.
#pragma once

#include <filesystem>
#include <string>

namespace moiety {

/// The bytes of a complete ELF file for this machine's architecture. Throws PluginError: missing,
/// not an ELF file, cut short (dlopen could end the process), built for another machine.
std::string read_elf_file(const std::filesystem::path& file);

}  // namespace moiety
