#!/usr/bin/env bash
# clang-format over every C++ and CUDA file. --check: changes nothing, fails when a file would change.
set -euo pipefail
source "$(dirname "$0")/common.sh"
mode=-i
[ "${1:-}" != "--check" ] || mode="--dry-run --Werror"
# shellcheck disable=SC2086
git ls-files -z '*.h' '*.cc' '*.cu' '*.cuh' | xargs -0 clang-format $mode
