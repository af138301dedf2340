#!/usr/bin/env bash
# Routing is recorded, compared and replayed; a replay on the same weights changes no bit.
source "$(dirname "$0")/common.sh"

train() {
  expect_exit 0 "$moiety" train "$config" --run-dir "$work/$1" run.steps=6 "${@:2}"
}
train plain
train a moe.router.record="$work/a.h5"
last=checkpoints/step_00000006.h5
"$checkpoint_diff" "$work/plain/$last" "$work/a/$last" || fail "recording changes the run"

train b moe.router.record="$work/b.h5"
expect_exit 0 "$moiety" routing diff "$work/a.h5" "$work/b.h5"
grep -q "the same, bit for bit" "$work/output" || fail "two runs alike are not called the same"

# Another seed routes otherwise, and the replay gives it the first run's routing.
train c run.seed=77 moe.router.record="$work/c.h5"
expect_exit 1 "$moiety" routing diff "$work/a.h5" "$work/c.h5"
grep -q "first difference: step_00000001/micro_000/layer_000, slot" "$work/output" ||
  fail "the first difference is not named"
train d run.seed=77 moe.router.replay="$work/a.h5" moe.router.record="$work/d.h5"
expect_exit 0 "$moiety" routing diff "$work/a.h5" "$work/d.h5"
if "$checkpoint_diff" "$work/c/$last" "$work/d/$last" >/dev/null; then
  fail "the replayed routing had no effect"
fi
train e moe.router.replay="$work/a.h5"
"$checkpoint_diff" "$work/plain/$last" "$work/e/$last" || fail "a replay differs from the run"

# Fewer steps, what is missing, and what cannot be.
train f moe.router.record="$work/f.h5" moe.router.record_steps=2
expect_exit 1 "$moiety" routing diff "$work/a.h5" "$work/f.h5"
grep -q "16 plans are in the first file only" "$work/output" || fail "missing plans are not counted"
expect_exit 4 "$moiety" train "$config" --run-dir "$work/g" moe.router.replay="$work/f.h5"
grep -q "no step_00000003/micro_000/layer_000; it has 2 steps" "$work/output" ||
  fail "the end of a recording is not explained"
expect_exit 2 "$moiety" routing diff "$work/a.h5" "$config"
expect_exit 2 "$moiety" routing diff "$work/plain/$last" "$work/a.h5"
grep -q "holds no recording of a routing" "$work/output" || fail "a checkpoint is taken for a recording"
expect_exit 2 "$moiety" train "$config" --run-dir "$work/h" moe.router.record="$work/a.h5"
grep -q "exists already" "$work/output" || fail "a recording would be overwritten"
expect_exit 2 "$moiety" train "$config" --run-dir "$work/l" moe.router.replay="$work/none.h5"
expect_exit 2 "$moiety" train "$config" --run-dir "$work/m" moe.router.record="$work/m.h5" \
  run.graph=on

# A hash follows the tokens' ids, whatever the weights become.
train i moe.gate.type=hash moe.router.record="$work/i.h5"
train j moe.gate.type=hash moe.router.record="$work/j.h5" optimizer.params.lr=0.1
expect_exit 0 "$moiety" routing diff "$work/i.h5" "$work/j.h5"
train k moe.router.record="$work/k.h5" optimizer.params.lr=0.1
expect_exit 1 "$moiety" routing diff "$work/a.h5" "$work/k.h5"

# Forced routing: even loads, and loads by Zipf's law.
share() { sed -nE 's/.*"imbalance":\[([0-9.]+).*/\1/p' "$work/$1/metrics.jsonl" | tail -1; }
train even moe.router.force_routing=balanced
train zipf moe.router.force_routing=zipf moe.router.zipf_exponent=3
grep -q "the router learns nothing" "$work/zipf/log/rank_0.log" || fail "no word of forced routing"
awk -v even="$(share even)" -v zipf="$(share zipf)" 'BEGIN { exit !(even < 1.01 && zipf > 3) }' ||
  fail "imbalance even $(share even), zipf $(share zipf)"
echo passed
