#!/usr/bin/env bash
# clang-tidy over the C++ files of the cpu build; those of the CUDA backend alone are left out.
#   scripts/tidy.sh                    every file
#   scripts/tidy.sh --changed [BASE]   files that differ from BASE (default: the commit before), at most 20
set -euo pipefail
source "$(dirname "$0")/common.sh"

[ -f build/cpu/compile_commands.json ] || configure cpu
in_build() {
  local file
  while read -r file; do
    if grep -qF "/$file\"" build/cpu/compile_commands.json; then echo "$file"; fi
  done
}

if [ "${1:-}" = "--changed" ]; then
  base=${2:-HEAD~1}
  git rev-parse -q --verify "$base" >/dev/null || base=$(git hash-object -t tree /dev/null)
  mapfile -t files < <(git diff --name-only --diff-filter=d "$base" -- 'core/*.cc' 'apps/*.cc' |
    in_build | shuf --random-source=<(git rev-parse HEAD) | head -n 20 | sort)
else
  mapfile -t files < <(git ls-files 'core/*.cc' 'apps/*.cc' | in_build)
fi
if [ ${#files[@]} -eq 0 ]; then
  echo "tidy: no file to check"
  exit 0
fi
echo "tidy: ${#files[@]} files"
printf '%s\n' "${files[@]}" | xargs -P "$(jobs)" -n 1 clang-tidy -p build/cpu --quiet \
  --warnings-as-errors='*' 2>/dev/null
