#!/usr/bin/env bash
# Checks that plugins export exactly moiety_plugin_entry and moiety_plugin_stamp.
# Usage: scripts/check_exports.sh FILE.so|FOLDER...   (default: the plugins of build/cpu)
set -euo pipefail
cd "$(dirname "$0")/.." && root=$PWD && cd - > /dev/null
[ $# -gt 0 ] || set -- "$root/build/cpu/lib/moiety/plugins"

expected="moiety_plugin_entry moiety_plugin_stamp"
files=()
for argument in "$@"; do
  if [ -d "$argument" ]; then
    while IFS= read -r file; do files+=("$file"); done < <(find "$argument" -name '*.so' | sort)
  else
    files+=("$argument")
  fi
done
[ ${#files[@]} -gt 0 ] || { echo "no plugins in: $*" >&2; exit 1; }

bad=0
for file in "${files[@]}"; do
  symbols=$(nm -D --defined-only "$file" | awk '{print $3}' | sort | paste -sd' ')
  if [ "$symbols" != "$expected" ]; then
    echo "$file exports: $symbols" >&2
    echo "  expected: $expected (link it by moiety_add_plugin)" >&2
    bad=1
  fi
done
[ $bad -eq 0 ] && echo "${#files[@]} plugin(s) export the two symbols"
exit $bad
