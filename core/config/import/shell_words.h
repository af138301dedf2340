// A shell text as commands of words that are not expanded yet.
#pragma once

#include <string>
#include <vector>

namespace moiety::config {

struct RawCommand {
  std::vector<std::string> words;  // with their quotes
  std::string output;              // the file behind `>`, with its quotes
  std::string here;                // text of `<<EOF`
  bool here_quoted = false;        // <<'EOF': not expanded
  int line = 0;
};

/// Splits at newlines, ; & | && ||. An array (a b c) is one word. Comments are gone.
std::vector<RawCommand> split_commands(const std::string& text);

}  // namespace moiety::config
