#!/usr/bin/env bash
# The test suite under the sanitizers: address and undefined behaviour, then threads. Slow.
#   scripts/sanitize.sh [asan|tsan]
set -euo pipefail
source "$(dirname "$0")/common.sh"

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1
export LSAN_OPTIONS=suppressions=$root/scripts/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=$root/scripts/tsan.supp
# The thread sanitizer of GCC 13 and before cannot live with the address randomisation of new kernels.
fixed=()
if setarch -R true 2>/dev/null; then fixed=(setarch -R); fi
for preset in ${1:-asan tsan}; do
  echo "sanitize: $preset"
  MOIETY_PRESET=$preset "${fixed[@]}" ./scripts/test.sh -LE "sdk|slow"
done
