#!/usr/bin/env bash
# Everything that only a GPU can tell, on a machine that has one. Three parts, each under ten minutes
# on 16 cores:
#   scripts/gpu_check.sh tests    every test with MOIETY_REQUIRE_GPU=1 (a skip is a failure), the
#                                 conformance of every plugin, parity with the references, resuming
#                                 bit for bit on the GPU, compute-sanitizer on the op tests
#   scripts/gpu_check.sh train    the quickstart model: graph against stream mode bit for bit, CPU
#                                 against GPU losses in f32; then 50 steps of
#                                 configs/gpt_350m_moe32.yaml with speed, memory and phases
#   scripts/gpu_check.sh races    compute-sanitizer's initcheck and racecheck on the op tests
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
sanitizer() {  # sanitizer TOOL: the op tests under it, four at a time
  printf '%s\n' build/cuda/bin/tests/{*ops_test,products_test} |
    xargs -P 4 -I BINARY compute-sanitizer --tool "$1" --error-exitcode 9 BINARY --gtest_filter='*cuda*'
}
e2e() {  # e2e SCRIPT CONFIG: the end-to-end test of that name, on the GPU
  local config=$PWD/$out/$2_cuda.yaml
  [[ $out == /* ]] && config=$out/$2_cuda.yaml
  printf 'base: %s\n# as in %s\nrun: {device: cuda, deterministic: true}\n' \
    "$PWD/tests/e2e/$2.yaml" "$2" >"$config"
  "tests/e2e/$1.sh" "$PWD/build/cuda/bin/moiety" "$PWD/build/cuda/bin/tests/checkpoint_diff" "$config"
}
prepare_corpus() {
  build/cuda/bin/moiety data prepare --out data/quickstart/corpus.txt --from-headers
}
# The whole step of the quickstart model as one CUDA graph: one warm-up, the capture, 10 replays.
graph() {
  local mode
  rm -rf "$out/graph_on" "$out/graph_off"
  for mode in on off; do
    build/cuda/bin/moiety train configs/quickstart.yaml --run-dir "$out/graph_$mode" \
      run.device=cuda run.deterministic=true run.steps=12 run.time=0 run.graph=$mode \
      eval.at_end=false model.dropout=0.1 'moe.gate={type: top1, params: {use_rts: true}}' \
      gradient_accumulation_steps=2 \
      fp16.enabled=true fp16.initial_scale_power=24 fp16.hysteresis=1 || return 1
  done
  grep -c '"skipped":true' "$out/graph_on/metrics.jsonl"
  MOIETY_PLUGIN_PATH=build/cuda/lib/moiety/plugins build/cuda/bin/tests/checkpoint_diff "$out"/graph_{on,off}/checkpoints/step_00000012.h5
}
losses() {  # losses NAME DEVICE STEPS [override...]: one loss a line
  build/cuda/bin/moiety train configs/quickstart.yaml --run-dir "$out/losses_$1" \
    run.device="$2" run.steps="$3" run.time=0 run.deterministic=true eval.at_end=false \
    checkpoint.at_end=false monitor.interval=1 "${@:4}" >"$out/losses_$1.log" 2>&1 || return 1
  sed -n 's/.*"loss": *\([-0-9.e+]*\).*/\1/p' "$out/losses_$1/metrics.jsonl" >"$out/$1.txt"
}
largest_difference() {  # largest_difference NAME NAME STEPS MOST: relative, of the first STEPS
  paste "$out/$1.txt" "$out/$2.txt" | awk -v steps="$3" -v most="$4" -v names="$1, $2" '
    NR <= steps { d = $1 - $2; if (d < 0) d = -d; d /= $1; if (d > all) all = d; ++n }
    END { printf "%s: %d steps, largest relative difference %.2e, at most %s\n", names, n, all, most
          exit !(n == steps && all <= most) }'
}
# The devices round sums otherwise. Sooner or later that turns one choice of two near-equal experts,
# and from there two runs part as two seeds would: over many steps only equal routing compares.
compare_losses() {
  rm -rf "$out"/losses_{cpu,cuda,replayed} "$out/routing.h5"
  losses cpu cpu 100 moe.router.record="$out/routing.h5" && losses cuda cuda 100 &&
    losses replayed cuda 100 moe.router.replay="$out/routing.h5" || return 1
  largest_difference cpu cuda 100 1  # for the eye
  largest_difference cpu cuda 20 1e-4 && largest_difference cpu replayed 100 1e-2
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
    step ctest ctest --test-dir build/cuda --output-on-failure -j "$(jobs)" -LE "sdk|slow"
    step parity build/cuda/bin/moiety selftest parity --device cuda
    for config in fp16 bf16 bias muon adafactor; do
      step "resume_$config" e2e resume "tiny_$config"
    done
    step mos_resume e2e mos_resume tiny_fp16
    step routing e2e routing tiny_bias
    step memcheck sanitizer memcheck
    ;;
  train)
    step corpus prepare_corpus
    step graph graph
    step losses compare_losses
    tail -n 3 "$out/losses.log"
    step gpt_350m_moe32 big_model
    tail -n 30 "$out/gpt_350m_moe32.log"
    ;;
  races)
    step initcheck sanitizer initcheck
    step racecheck sanitizer racecheck
    ;;
  *)
    echo "usage: scripts/gpu_check.sh tests|train|races" >&2
    exit 2
    ;;
esac
exit $failed
