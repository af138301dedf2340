#!/usr/bin/env bash
# Accuracy of configs/cifar10_moe.yaml beside that of a linear classifier, on the same data: three
# seeds each, about ten minutes on two idle cores. The linear one is the same model without hidden layers.
#   MOIETY_TEST_DATA=FOLDER scripts/cifar10.sh [OVERRIDE...]
set -euo pipefail
source "$(dirname "$0")/common.sh"
: "${MOIETY_TEST_DATA:?set it to the folder that holds cifar-10-batches-bin}"
export MOIETY_TEST_DATA
moiety=build/$(choose_preset)/bin/moiety
out=runs/cifar10-$(date +%Y%m%d-%H%M%S)

accuracy() {  # accuracy NAME OVERRIDE...: of the last evaluation, in per cent
  local run=$out/$1
  shift
  "$moiety" train configs/cifar10_moe.yaml --run-dir "$run" "$@" >"$run.log" 2>&1 ||
    { cat "$run.log" >&2; return 1; }
  sed -nE 's/.*"validation_accuracy":([0-9.e+-]+).*/\1/p' "$run/metrics.jsonl" | tail -n 1 |
    awk '{printf "%.1f\n", 100 * $1}'
}

mkdir -p "$out"
printf '| model | seed 1 | seed 2 | seed 3 | mean |\n| --- | --- | --- | --- | --- |\n'
declare -A mean
for model in linear moe; do
  shape=()
  if [ $model = linear ]; then
    shape=("model.convolutions=[]" "model.dense=[]" moe.enabled=false)
  fi
  values=()
  for seed in 1 2 3; do
    values+=("$(accuracy "$model-$seed" "${shape[@]}" "run.seed=$seed" "$@")")
  done
  mean[$model]=$(printf '%s\n' "${values[@]}" | awk '{s += $1} END {printf "%.1f", s / NR}')
  printf '| %s | %s | %s | %s | %s |\n' "$model" "${values[@]}" "${mean[$model]}"
done
awk -v a="${mean[moe]}" -v b="${mean[linear]}" 'BEGIN {
  printf "%.1f points above the linear classifier, at least 8 expected\n", a - b
  exit a - b >= 8 ? 0 : 1
}'
