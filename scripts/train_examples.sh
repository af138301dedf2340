#!/usr/bin/env bash
# Trains every example for 300 steps and checks what an example has to show: the loss
# falls and every expert is alive at the end. Then provokes what goes wrong in practice and checks
# that the metrics show it. Prints a table; about an hour on two cores, so not part of .ci/run.
#   scripts/train_examples.sh [NAME...]      STEPS=300 DEVICE=cpu OUT=runs/examples
# NAME: of a file of configs/examples, without .yaml, or `failures`; default: all.
set -euo pipefail
source "$(dirname "$0")/common.sh"
steps=${STEPS:-300} device=${DEVICE:-cpu} out=${OUT:-runs/examples-$(date +%Y%m%d-%H%M%S)}
moiety=build/$(choose_preset)/bin/moiety
mkdir -p "$out"
[ -e data/quickstart/corpus.txt ] ||
  "$moiety" data prepare --out data/quickstart/corpus.txt --from-headers

if [ $# -eq 0 ]; then
  set -- $(basename -s .yaml configs/examples/*.yaml | grep -v '_base$') failures
fi
failed=0

train() {  # train NAME CONFIG OVERRIDE...: true when the run ended as finished or as diverged
  local name=$1 config=$2 code=0
  shift 2
  "$moiety" train "$config" --run-dir "$out/$name" run.device="$device" run.time=0 "run.steps=$steps" \
    monitor.interval=1 eval.sample_bytes=0 eval.interval=0 checkpoint.at_end=false "$@" \
    >"$out/$name.log" 2>&1 || code=$?
  [ $code -eq 0 ] || [ $code -eq 5 ] || { tail -n 5 "$out/$name.log" >&2; return 1; }
}
# numbers NAME KEY FIRST|LAST: one a line, of the first or last ten batches; all layers' where a list.
numbers() {
  local end=tail
  [ "$3" = first ] && end=head
  { grep '"batch"' "$out/$1/metrics.jsonl" || true; } | $end -n 10 |
    sed -nE "s/.*\"$2\": ?\[?([-0-9.e+, ]+).*/\1/p" | tr -d ' ' | tr ',' '\n' | sed '/^$/d'
}
mean() { numbers "$@" | awk '{ s += $1 } END { print NR ? s / NR : "none" }'; }
# dead NAME: experts without a choice, summed over the layers of the last ten batches.
dead() { numbers "$1" dead_experts last | awk '{ s += $1 } END { print s + 0 }'; }
less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'; }
row() {  # row NAME VERDICT
  printf '%-30s %9s %9s %10s %6s  %s\n' "$1" "$(mean "$1" lm_loss first)" "$(mean "$1" lm_loss last)" \
    "$(mean "$1" imbalance last)" "$(dead "$1")" "$2"
}
example() {
  local name=$1 verdict=ok
  train "$name" "configs/examples/$name.yaml" || { echo "$name FAILED to run"; failed=1; return; }
  less "$(mean "$name" lm_loss last)" "$(mean "$name" lm_loss first)" || verdict="LOSS DOES NOT FALL"
  [ "$(dead "$name")" = 0 ] || verdict="DEAD EXPERTS"
  [ "$verdict" = ok ] || failed=1
  row "$name" "$verdict"
}
# expect NAME TEXT CONDITION...: a failure that was provoked has to be seen.
expect() {
  local name=$1 verdict="seen: $2"
  shift 2
  "$@" || { verdict="NOT SEEN: $verdict"; failed=1; }
  row "$name" "$verdict"
}
failures() {
  local base=configs/examples/gating_base.yaml skew
  train balanced $base && row balanced "to compare with"
  train coefficient_0 $base moe.moe_loss_coeff=0
  expect coefficient_0 "no loss balances, the experts drift apart" \
    less "$(mean balanced imbalance last)" "$(mean coefficient_0 imbalance last)"
  grep -q "no loss balances the experts" "$out/coefficient_0.log" ||
    { echo "coefficient_0: no warning"; failed=1; }
  train lr_too_high $base optimizer.params.lr=3
  expect lr_too_high "the loss stays high or the run diverges" \
    less "$(mean balanced lm_loss last)" "$(mean lr_too_high lm_loss last)"
  train skewed $base moe.router.force_routing=zipf
  skew=$(mean skewed imbalance last)
  expect skewed "the busiest expert has $skew times the mean load" less 1.5 "$skew"
}

printf '%-30s %9s %9s %10s %6s  %s\n' example "loss at 0" "at end" imbalance dead ""
for name in "$@"; do
  if [ "$name" = failures ]; then failures; else example "$name"; fi
done
[ $failed -eq 0 ] && echo "all examples do what they say; runs in $out"
exit $failed
