#!/usr/bin/env bash
# A student of a teacher's run, killed before and after the stop, ends with the same bits.
source "$(dirname "$0")/common.sh"

expect_exit 0 "$moiety" train "$config" run.steps=6 --run-dir "$work/teacher"
student=(model.layers=1 moe.expert_interval=1
  "objective={type: mos, params: {teacher: $work/teacher, stop_step: 8, temperature: 2}}")
expect_exit 0 "$moiety" config check "$config" "${student[@]}"
expect_exit 0 "$moiety" train "$config" "${student[@]}" --run-dir "$work/straight"
grep -qE "step 8: the objective wants no teacher from here on; [1-9]" "$work/output" || fail "the stop was not said"
for first in 5 11; do
  run=$work/parts_$first
  expect_exit 0 "$moiety" train "$config" "${student[@]}" run.steps=$first --run-dir "$run"
  [ $first -lt 8 ] || mv "$work/teacher" "$work/gone"
  expect_exit 0 "$moiety" train "$config" "${student[@]}" --run-dir "$run" --resume
  [ $first -lt 8 ] || mv "$work/gone" "$work/teacher"
  "$checkpoint_diff" "$work/straight/checkpoints/step_00000014.h5" \
    "$run/checkpoints/step_00000014.h5" || fail "differs after resuming at $first"
  diff <(rows "$work/straight" | grep '"batch"') <(rows "$run" | grep '"batch"') ||
    fail "the losses differ"
done

# What does not go together is a configuration error, and starts nothing.
expect_exit 2 "$moiety" train "$config" "${student[@]}" model.vocab_size=32 --run-dir "$work/no"
grep -q "vocabulary" "$work/output" || fail "the vocabulary was not named"
[ ! -e "$work/no" ] || fail "a run directory was left behind"
rm -r "$work/teacher"
expect_exit 2 "$moiety" config check "$config" "${student[@]}"
echo passed
