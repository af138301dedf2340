#!/usr/bin/env bash
# The exit codes of docs/exit_codes.md, each by a run that earns it.
source "$(dirname "$0")/common.sh"

expect_exit 0 "$moiety" train "$config" run.steps=2 --run-dir "$work/good"
grep -q '"state": "finished"' "$work/good/status.json" || fail "status is not finished"
expect_exit 2 "$moiety" train "$config" no.such.key=1 --run-dir "$work/config"
expect_exit 2 "$moiety" train "$config" run.steps=2 --run-dir "$work/good"
line="deepspeed pretrain_gpt.py --micro-batch-size 1 --no-such-flag"
expect_exit 0 "$moiety" config import-args "$line"
expect_exit 2 "$moiety" config import-args "$line" --strict
expect_exit 0 "$moiety" config import-args "${line% *}" --strict
expect_exit 2 "$moiety" config import-args --file "$work/nowhere.sh"
echo "not a library" >"$work/broken.so"
expect_exit 2 "$moiety" train "$config" data.type=text "data.params={files: [$work/gone.txt]}" \
  --run-dir "$work/data"
grep -q "data.params.files: data 'text'.*gone.txt: No such file" "$work/output" ||
  { cat "$work/output"; fail "a missing text is not named"; }
expect_exit 3 "$moiety" train "$config" "plugins=[$work/broken.so]" --run-dir "$work/plugin"
plain=$(dirname "$moiety")/tests/plugins/moiety_objective_plain.so
expect_exit 3 "$moiety" train "$config" "plugins=[$plain]" objective.type=plain --run-dir "$work/step"
grep -q "step 1: the objective failed in evaluate: there is no loss" "$work/output" ||
  { cat "$work/output"; fail "the step of a plugin's failure is not named"; }
expect_exit 4 "$moiety" generate "$work/nothing.h5"

expect_exit 5 "$moiety" train "$config" run.diverged_loss=0.001 run.diverged_steps=3 \
  checkpoint.interval=2 --run-dir "$work/diverged"
grep -q '"state": "diverged"' "$work/diverged/status.json" || fail "status is not diverged"
[ -f "$work/diverged/checkpoints/diverged.h5" ] || fail "diverged.h5 is missing"
grep -q step_00000002 "$work/diverged/checkpoints/latest" || fail "latest is not the good one"

for signal in INT TERM; do
  run="$work/signal_$signal"
  set -m  # without job control a background job ignores SIGINT
  "$moiety" train "$config" run.steps=1000000 --run-dir "$run" >"$work/output" 2>&1 &
  process=$!
  for _ in $(seq 100); do
    [ -s "$run/metrics.jsonl" ] && break
    sleep 0.1
  done
  kill -"$signal" "$process"
  code=0
  wait "$process" || code=$?
  [ "$code" -eq 6 ] || { cat "$work/output"; fail "exit code $code after SIG$signal, expected 6"; }
  grep -q '"state": "interrupted"' "$run/status.json" || fail "status is not interrupted"
  [ -s "$run/checkpoints/latest" ] || fail "nothing was saved"
  expect_exit 0 "$moiety" train "$config" run.tokens=1 --run-dir "$run" --resume
done
echo passed
