#!/usr/bin/env bash
# `moiety bench`: figures for what is right, none for what is wrong.
source "$(dirname "$0")/common.sh"

small() { "$@" --device cpu --no-ceilings --iterations 2 --json "$work/rows.json"; }
number() {  # number KEY: of the first row
  sed -nE "s/.*\"$1\": ([0-9.e+-]+).*/\1/p" "$work/rows.json" | head -n 1
}
positive() { awk -v x="$(number "$1")" 'BEGIN { exit !(x > 0) }' || fail "$1 is '$(number "$1")'"; }

expect_exit 0 small "$moiety" bench step "$config" --profile 1 --trace "$work/trace.json"
for key in ms tflops ktokens_per_second peak_gib; do positive $key; done
grep -q "as a stream, busiest expert" "$work/output" || fail "no word of the routing"
grep -q "attention backward" "$work/output" || fail "no phases"
grep -q "  activations " "$work/output" || fail "no table of the memory"
for key in weights optimizer activations total; do positive $key; done
grep -q "\"traceEvents\":.*\"name\":\"attention backward\"" "$work/trace.json" || fail "no trace"

expect_exit 0 small "$moiety" bench layer "$config" --routing balanced
for key in ms tflops; do positive $key; done
grep -q "against f32: output" "$work/rows.json" || fail "the layer was not compared"

expect_exit 0 "$moiety" bench attention --device cpu --iterations 2 --json "$work/rows.json"
for key in burst_tflops sustained_tflops; do positive $key; done
for key in ms tflops; do positive $key; done
grep -q "forward" "$work/output" && grep -q "backward" "$work/output" || fail "half of attention"
expect_exit 0 small "$moiety" bench attention --batch 2 --heads 2 --sequence 100 --documents 4
for key in ms tflops; do positive $key; done
grep -q "docs4 forward" "$work/rows.json" || fail "no documents"
grep -q "against f32: output" "$work/rows.json" || fail "documents were not compared"
expect_exit 0 small "$moiety" bench loss --rows 96 --hidden 24 --vocab 131
for key in ms tflops ktokens_per_second; do positive $key; done
grep -q "loss .*dx .*head.weight" "$work/rows.json" || fail "the loss was not compared"
expect_exit 2 small "$moiety" bench attention --batch 2 --heads 4 --kv-heads 3
grep -q "no multiple of --kv-heads 3" "$work/output" || fail "heads without keys"

# An expert that is wrong in the precision of the run is not timed.
cat >"$work/wrong.yaml" <<END
base: $config
plugins: [$(realpath "$(dirname "$moiety")")/tests/plugins_wrong/moiety_expert_wrong.so]
moe: {expert: {type: wrong_dtypes}}
END
expect_exit 1 small "$moiety" bench layer "$work/wrong.yaml"
grep -q "wrong, so it was not timed" "$work/output" || fail "a wrong layer was timed"

expect_exit 2 small "$moiety" bench layer mixtrall
grep -q "did you mean 'mixtral'" "$work/output" || fail "no proposal"
expect_exit 2 small "$moiety" bench step
echo passed
