#!/usr/bin/env bash
# N steps straight equal k steps, a new process, and N - k steps: weights, optimizer state, losses.
source "$(dirname "$0")/common.sh"

expect_exit 0 "$moiety" train "$config" --run-dir "$work/straight"
# Step 5 of 4 samples each: in the middle of the second epoch of both configurations.
expect_exit 0 "$moiety" train "$config" --run-dir "$work/parts" run.steps=5
grep -q '"optimizer": [1-9]' "$work/straight/memory.json" || fail "no count of the memory"
expect_exit 2 "$moiety" train "$config" --run-dir "$work/parts"
grep -q -- --resume "$work/output" || fail "the refusal does not say what to type"
expect_exit 0 "$moiety" train "$config" --run-dir "$work/parts" --resume
grep -q "at step 5" "$work/output" || fail "did not resume at step 5"

file=checkpoints/step_00000014.h5
"$checkpoint_diff" "$work/straight/$file" "$work/parts/$file" || fail "the checkpoints differ"
diff <(rows "$work/straight" | grep '"batch"') <(rows "$work/parts" | grep '"batch"') ||
  fail "the losses differ"
if grep -q 'fp16' "$config"; then
  grep -q '"skipped":true' "$work/straight/metrics.jsonl" || fail "no overflow was forced"
  grep -q '"skipped":false' "$work/straight/metrics.jsonl" || fail "no step was taken"
fi

# A torn newest file: named, and the one before is used.
newest="$work/parts/$file"
truncate -s 1000 "$newest"
expect_exit 0 "$moiety" train "$config" --run-dir "$work/parts" --resume
grep -q "$newest" "$work/output" || fail "the torn file was not named"
"$checkpoint_diff" "$work/straight/$file" "$newest" || fail "differs after the torn file"
echo passed
