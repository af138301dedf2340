// The part of a shell script that decides what a launch line says: continuations, quotes,
// variables, arithmetic, simple conditions, `eval`, and files written with `cat <<EOF`.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace moiety::config {

struct ShellCommand {
  std::vector<std::string> words;  // expanded; what could not be is left as "$NAME"
  int line = 0;
};

struct ShellScript {
  std::vector<ShellCommand> commands;        // that would run, in order
  std::map<std::string, std::string> files;  // written with `cat <<EOF > name`
  std::vector<std::string> problems;         // "line 12: ..."
};

ShellScript read_shell(const std::string& text);

}  // namespace moiety::config
