#!/usr/bin/env bash
# A start that is refused leaves nothing that refuses the corrected one; what reads a run's
# checkpoints leaves them alone, and what a run needs once it does not need again.
source "$(dirname "$0")/common.sh"

expect_exit 0 "$moiety" train "$config" run.steps=4 --run-dir "$work/source"
next=$(sed -n "s/^.*\(  .* ckpt inspect .*\)/\1/p" "$work/output")
[ -n "$next" ] || { cat "$work/output"; fail "no word of what to type next"; }
eval "$next" >"$work/inspected" || fail "cannot be typed: $next"

# The check finds what the run would, before it says anything else.
groups='optimizer.groups=[{match: "layers.*.atention.*", lr_scale: 2}]'
expect_exit 2 "$moiety" config check "$config" "$groups"
grep -q "good" "$work/output" && fail "good, and then an error"
expect_exit 2 "$moiety" config check "$config" model.init_from="$work/sourc"
grep -q "model.init_from.checkpoint: no file or folder '$work/sourc'; did you mean" "$work/output" ||
  { cat "$work/output"; fail "a missing source is not named"; }

# Refused before and after the folder is made, then corrected.
run=(train "$config" run.steps=4 --run-dir "$work/run")
expect_exit 2 "$moiety" "${run[@]}" "$groups"
expect_exit 4 "$moiety" "${run[@]}" model.init_from="$work/source" model.ffn_hidden=96
grep -q "^error: override 'model.init_from=.*: model.init_from.checkpoint: " "$work/output" ||
  { cat "$work/output"; fail "the place of model.init_from is not named"; }
[ -z "$(ls -A "$work/run")" ] || { ls -R "$work/run"; fail "a refused start left files"; }

# Whoever starts from a run, or generates with it, leaves the file that it is writing.
half=$work/source/checkpoints/step_00000009.h5.tmp
echo half >"$half"
expect_exit 0 "$moiety" "${run[@]}" model.init_from="$work/source/checkpoints"
expect_exit 0 "$moiety" generate "$work/source" --tokens 1
[ -f "$half" ] || fail "a checkpoint in the making was removed"
expect_exit 0 "$moiety" train "$config" run.steps=5 --run-dir "$work/source" --resume
[ ! -f "$half" ] || fail "a resumed run kept the rest of an interrupted save"

# A resumed run has its weights; where it has none, the source is needed.
mv "$work/source" "$work/elsewhere"
expect_exit 0 "$moiety" "${run[@]}" model.init_from="$work/source" run.steps=6 --resume
expect_exit 2 "$moiety" train "$config" model.init_from="$work/source" --run-dir "$work/new" --resume
grep -q "model.init_from.checkpoint: no file or folder" "$work/output" ||
  { cat "$work/output"; fail "a missing source is not named"; }

# A resumption that is refused makes no recording.
record=moe.router.record="$work/r.h5"
expect_exit 2 "$moiety" "${run[@]}" run.steps=8 "$record" run.seed=99 --resume
grep -q "keeps its seed" "$work/output" || { cat "$work/output"; fail "refused otherwise"; }
expect_exit 0 "$moiety" "${run[@]}" run.steps=8 "$record" --resume
echo passed
