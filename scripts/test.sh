#!/usr/bin/env bash
# Builds everything and runs the whole test suite.
#   scripts/test.sh [ctest arguments]      MOIETY_PRESET=cuda|asan|tsan chooses another build
set -euo pipefail
source "$(dirname "$0")/common.sh"

./scripts/setup.sh
preset=$(choose_preset)
configure "$preset" -DMOIETY_TESTS=ON
cmake --build "build/$preset" -j "$(jobs)"
ctest --test-dir "build/$preset" --output-on-failure -j "$(jobs)" "$@"
