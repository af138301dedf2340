# Shared by the scripts of this folder: arguments, a scratch folder, and failing with a reason.
#   SCRIPT MOIETY CHECKPOINT_DIFF CONFIG
set -euo pipefail
moiety=$1 checkpoint_diff=$2 config=$3
export MOIETY_PLUGIN_PATH=${MOIETY_PLUGIN_PATH:-$(dirname "$moiety")/../lib/moiety/plugins}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# expect_exit CODE COMMAND...: the output of the command goes to $work/output.
expect_exit() {
  local expected=$1 code=0
  shift
  "$@" >"$work/output" 2>&1 || code=$?
  if [ "$code" -ne "$expected" ]; then
    cat "$work/output"
    fail "exit code $code, expected $expected: $*"
  fi
}

# Rows of metrics.jsonl without what depends on the clock.
rows() {
  sed -E 's/"(seconds|tokens_per_second)":[^,}]*,?//g' "$1/metrics.jsonl"
}
