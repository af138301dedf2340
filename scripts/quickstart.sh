#!/usr/bin/env bash
# From a fresh clone to a small trained MoE language model: installs, builds, prepares a corpus,
# trains configs/quickstart.yaml, evaluates, saves, and prints a sample.
#   scripts/quickstart.sh                    the C++ headers of this machine as text
#   scripts/quickstart.sh --text FILE...     your own text
set -euo pipefail
source "$(dirname "$0")/common.sh"

text=(--from-headers)
if [ "${1:-}" = "--text" ] && [ $# -gt 1 ]; then
  text=("$@")
elif [ $# -gt 0 ]; then
  echo "usage: scripts/quickstart.sh [--text FILE...]" >&2
  exit 2
fi

./scripts/setup.sh
preset=$(choose_preset)
echo "quickstart: building the binary and the plugins (preset $preset)"
configure "$preset" -DMOIETY_TESTS=OFF
cmake --build "build/$preset" -j "$(jobs)"
moiety=build/$preset/bin/moiety

"$moiety" data prepare --out data/quickstart/corpus.txt "${text[@]}"
run=runs/quickstart
if [ -e "$run" ]; then
  run=$run-$(date +%Y%m%d-%H%M%S)
fi
"$moiety" train configs/quickstart.yaml --run-dir "$run"
