#!/usr/bin/env bash
# Everything that only a GPU can tell, on a machine that has one. Two parts, each under ten minutes
# on 16 cores:
#   scripts/gpu_check.sh tests    every test with MOIETY_REQUIRE_GPU=1 (a skip is a failure), the
#                                 conformance of every plugin, compute-sanitizer on the op tests
#   scripts/gpu_check.sh train    CPU against GPU losses of the quickstart model in f32, then 50
#                                 steps of configs/gpt_350m_moe32.yaml with speed, memory and phases
# Results also go to $OUT (default build/gpu_check).
set -uo pipefail
source "$(dirname "$0")/common.sh"
out=${OUT:-build/gpu_check}
mkdir -p "$out"
failed=0
step() {  # step NAME COMMAND...
  local name=$1 begin=$SECONDS
  shift
  if "$@" >"$out/$name.log" 2>&1; then
    echo "ok      $name ($((SECONDS - begin)) s)"
  else
    echo "FAILED  $name ($((SECONDS - begin)) s), last lines of $out/$name.log:"
    grep -nE "error|Error|FAILED" "$out/$name.log" | head -n 60
    tail -n 20 "$out/$name.log"
    failed=1
  fi
}

build() {
  configure cuda -DMOIETY_TESTS=ON && cmake --build build/cuda -j "$(jobs)" -- -k 0
}
memcheck() {
  local binary
  for binary in build/cuda/bin/tests/*ops_test build/cuda/bin/tests/products_test; do
    [ -x "$binary" ] || continue
    compute-sanitizer --tool memcheck --error-exitcode 9 "$binary" --gtest_filter='*cuda*' || return 1
  done
}
losses() {  # losses DEVICE STEPS: one loss a line
  build/cuda/bin/moiety train configs/quickstart.yaml --run-dir "$out/losses_$1" \
    run.device="$1" run.steps="$2" run.time=0 run.deterministic=true eval.at_end=false \
    checkpoint.at_end=false monitor.interval=1 >"$out/losses_$1.log" 2>&1 || return 1
  sed -n 's/.*"loss": *\([-0-9.e+]*\).*/\1/p' "$out/losses_$1/metrics.jsonl"
}
compare_losses() {
  build/cuda/bin/moiety data prepare --out data/quickstart/corpus.txt --from-headers || return 1
  rm -rf "$out/losses_cpu" "$out/losses_cuda"
  losses cpu 100 >"$out/cpu.txt" && losses cuda 100 >"$out/cuda.txt" || return 1
  paste "$out/cpu.txt" "$out/cuda.txt" | awk '
    { d = $1 - $2; if (d < 0) d = -d; d /= $1; if (NR <= 20 && d > early) early = d; if (d > all) all = d }
    END { printf "%d steps: largest relative difference %.2e in the first 20, %.2e in all\n", NR, early, all
          exit !(NR >= 100 && early <= 1e-4 && all <= 1e-2) }'
}
big_model() {
  rm -rf "$out/gpt_350m_moe32"
  build/cuda/bin/moiety train configs/gpt_350m_moe32.yaml --run-dir "$out/gpt_350m_moe32" \
    run.steps=50 run.profile=10 checkpoint.at_end=false
}

step build build
[ $failed -eq 0 ] || exit 1
case ${1:-tests} in
  tests)
    export MOIETY_REQUIRE_GPU=1
    step ctest ctest --test-dir build/cuda --output-on-failure -j 4 -LE "sdk|slow"
    step parity build/cuda/bin/moiety selftest parity --device cuda
    step memcheck memcheck
    ;;
  train)
    step losses compare_losses
    tail -n 1 "$out/losses.log"
    step gpt_350m_moe32 big_model
    tail -n 30 "$out/gpt_350m_moe32.log"
    ;;
  *)
    echo "usage: scripts/gpu_check.sh tests|train" >&2
    exit 2
    ;;
esac
exit $failed
