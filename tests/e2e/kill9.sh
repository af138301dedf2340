#!/usr/bin/env bash
# kill -9 twenty times at random moments of a run that saves every few steps: it always resumes,
# and ends with the bits of a run that was left alone.
source "$(dirname "$0")/common.sh"
steps=${KILL9_STEPS:-400} kills=${KILL9_KILLS:-20}

options=(run.steps="$steps" checkpoint.interval=3 checkpoint.at_end=true)
expect_exit 0 "$moiety" train "$config" "${options[@]}" --run-dir "$work/straight"

RANDOM=${KILL9_SEED:-1}
hits=0
for ((i = 1; i <= kills; ++i)); do
  "$moiety" train "$config" "${options[@]}" --run-dir "$work/killed" --resume \
    >"$work/output" 2>&1 &
  process=$!
  sleep "0.$((RANDOM % 90 + 10))"
  kill -9 "$process" 2>/dev/null || true
  code=0
  wait "$process" 2>/dev/null || code=$?
  case $code in
    0) ;;
    137) hits=$((hits + 1)) ;;
    *) cat "$work/output"; fail "run $i ended with $code" ;;
  esac
done
expect_exit 0 "$moiety" train "$config" "${options[@]}" --run-dir "$work/killed" --resume
file=checkpoints/step_$(printf %08d "$steps").h5
"$checkpoint_diff" "$work/straight/$file" "$work/killed/$file" || fail "the checkpoints differ"
diff <(rows "$work/straight" | grep '"batch"') <(rows "$work/killed" | grep '"batch"') ||
  fail "the losses differ"
[ $((hits * 2)) -ge "$kills" ] || fail "$hits of $kills kills hit a running process; set KILL9_STEPS"
echo "passed: $hits of $kills kills hit a running process"
