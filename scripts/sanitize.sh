#!/usr/bin/env bash
# The test suite under the sanitizers: address and undefined behaviour, then threads. Slow.
#   scripts/sanitize.sh [asan|tsan]
set -euo pipefail
source "$(dirname "$0")/common.sh"

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
for preset in ${1:-asan tsan}; do
  echo "sanitize: $preset"
  MOIETY_PRESET=$preset ./scripts/test.sh -LE "sdk|slow"
done
