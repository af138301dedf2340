#!/usr/bin/env bash
# Mixture-of-Students end to end on the quickstart's corpus: a student with half the layers alone,
# taught to the end, and taught for 60 % of the steps; three seeds each. Prints the table of
# docs/mos.md. About forty minutes on two cores with the default of 1100 steps.
#   scripts/mos_table.sh [STEPS [TEACHER_STEPS]]      SEEDS="1 2 3" OUT=runs/mos EVAL_BATCHES=128
set -euo pipefail
source "$(dirname "$0")/common.sh"
steps=${1:-1100} teacher_steps=${2:-${1:-1100}}
read -ra seeds <<<"${SEEDS:-1 2 3}"
out=${OUT:-runs/mos-$(date +%Y%m%d-%H%M%S)}
moiety=build/$(choose_preset)/bin/moiety
stop=$((steps * 6 / 10))
mkdir -p "$out"
[ -e data/quickstart/corpus.txt ] ||
  "$moiety" data prepare --out data/quickstart/corpus.txt --from-headers

train() {  # train NAME STEPS OVERRIDE...: a run of that many steps, silent unless it fails
  local run=$out/$1 count=$2
  shift 2
  "$moiety" train configs/quickstart.yaml --run-dir "$run" "run.time=0" "run.steps=$count" \
    "scheduler.params.total_num_steps=$((count > 41 ? count : 41))" eval.sample_bytes=0 \
    "eval.interval=0" "eval.batches=${EVAL_BATCHES:-128}" "checkpoint.interval=0" "$@" >"$run.log" 2>&1 ||
    { cat "$run.log" >&2; return 1; }
}
loss() {  # loss NAME: of the last evaluation, nats a byte
  sed -nE 's/.*"validation_loss":([0-9.e+-]+).*/\1/p' "$out/$1/metrics.jsonl" | tail -n 1
}
row() {  # row TEXT LAYERS LOSS...
  local text=$1 layers=$2
  shift 2
  printf '| %s | %s |' "$text" "$layers"
  printf ' %.3f |' "$@"
  printf '%s\n' "$@" | awk '{s += $1; q += $1 * $1} END {
    m = s / NR; v = NR > 1 ? (q - NR * m * m) / (NR - 1) : 0
    printf " %.3f +- %.3f |\n", m, sqrt(v > 0 ? v : 0)}'
}

printf 'Validation loss, nats a byte, after %d steps; teacher %d steps, stop at %d.\n\n' \
  "$steps" "$teacher_steps" "$stop"
printf '| model | layers |'; printf ' seed %s |' "${seeds[@]}"; printf ' mean |\n'
printf '| --- | --- |'; printf ' --- |%.0s' "${seeds[@]}"; printf ' --- |\n'
train teacher "$teacher_steps" run.seed=1
printf '| teacher, one run | 4 |'; printf ' |%.0s' "${seeds[@]}"; printf ' %.3f |\n' "$(loss teacher)"
student() {  # student NAME TEXT OVERRIDE...
  local name=$1 text=$2 losses=()
  shift 2
  for seed in "${seeds[@]}"; do
    train "$name-$seed" "$steps" model.layers=2 "run.seed=$seed" "$@"
    losses+=("$(loss "$name-$seed")")
  done
  row "$text" 2 "${losses[@]}"
}
student alone "student alone"
student taught "student, taught to the end" "objective={type: mos, params: {teacher: $out/teacher}}"
student staged "student, taught to step $stop" \
  "objective={type: mos, params: {teacher: $out/teacher, stop_step: $stop}}"
