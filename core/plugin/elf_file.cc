// Checks of the ELF header, the program headers and the sections against the file's length.
#include "core/plugin/elf_file.h"

#include <elf.h>
#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include <moiety/error.h>

namespace moiety {
namespace {

#if defined(__x86_64__)
constexpr int kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr int kMachine = EM_AARCH64;
#else
constexpr int kMachine = EM_NONE;  // not checked
#endif

/// The length that the headers promise; more than `bytes` has when they are cut themselves.
uint64_t promised_size(const std::string& bytes) {
  Elf64_Ehdr header;
  if (bytes.size() < sizeof header) return sizeof header;
  std::memcpy(&header, bytes.data(), sizeof header);
  uint64_t size = header.e_shoff + uint64_t{header.e_shnum} * header.e_shentsize;
  const uint64_t table = header.e_phoff + uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  size = std::max(size, table);
  if (table > bytes.size()) return size;
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, bytes.data() + header.e_phoff + i * sizeof segment, sizeof segment);
    size = std::max(size, segment.p_offset + segment.p_filesz);
  }
  return size;
}

}  // namespace

std::string read_elf_file(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) {
    throw PluginError(fmt::format("plugin {}: no such file", file.string()));
  }
  std::ifstream stream(file, std::ios::binary);
  if (!std::filesystem::is_regular_file(file, ignored) || !stream) {
    throw PluginError(fmt::format("plugin {}: cannot be read", file.string()));
  }
  std::string bytes((std::istreambuf_iterator<char>(stream)), {});
  if (bytes.compare(0, SELFMAG, ELFMAG) != 0) {
    throw PluginError(fmt::format(
        "{} is not a shared library: it has no ELF header. Build it with moiety_add_plugin().",
        file.string()));
  }
  if (bytes.size() > EI_CLASS && bytes[EI_CLASS] != ELFCLASS64) {
    throw PluginError(fmt::format("{} is a 32-bit library, expected 64 bits", file.string()));
  }
  if (const uint64_t size = promised_size(bytes); size > bytes.size()) {
    throw PluginError(fmt::format(
        "{} is cut short: it has {} bytes, its headers speak of {}. Copy or build it again.",
        file.string(), bytes.size(), size));
  }
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (kMachine != EM_NONE && header.e_machine != kMachine) {
    throw PluginError(fmt::format("{} is for another processor (ELF machine {}, this one is {})",
                                  file.string(), header.e_machine, kMachine));
  }
  return bytes;
}

}  // namespace moiety
