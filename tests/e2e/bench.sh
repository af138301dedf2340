#!/usr/bin/env bash
# `moiety bench`: figures for what is right, none for what is wrong.
source "$(dirname "$0")/common.sh"

small() { "$@" --device cpu --iterations 2 --json "$work/rows.json"; }
number() {  # number KEY: of the first row
  sed -nE "s/.*\"$1\": ([0-9.e+-]+).*/\1/p" "$work/rows.json" | head -n 1
}
positive() { awk -v x="$(number "$1")" 'BEGIN { exit !(x > 0) }' || fail "$1 is '$(number "$1")'"; }

expect_exit 0 small "$moiety" bench step "$config" --profile 1
for key in ms tflops ktokens_per_second peak_gib; do positive $key; done
grep -q "as a stream, busiest expert" "$work/output" || fail "no word of the routing"
grep -q "attention backward" "$work/output" || fail "no phases"

expect_exit 0 small "$moiety" bench layer "$config" --routing balanced
for key in ms tflops; do positive $key; done
grep -q "against f32: output" "$work/rows.json" || fail "the layer was not compared"

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
