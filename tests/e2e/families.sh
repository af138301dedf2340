#!/usr/bin/env bash
# A Hugging Face folder is imported, trained, exported, imported again, made shallower and upcycled.
source "$(dirname "$0")/common.sh"
golden=$(dirname "$0")/../golden
model=$(basename "$config" .yaml) # tiny_llama: the folder of reference files

expect_exit 0 "$moiety" ckpt import-hf "$golden/$model" --out "$work/model.h5" \
  --config-out "$work/model.yaml"
cat >"$work/run.yaml" <<'YAML'
base: model.yaml
model: {sequence_length: 16}
train_batch_size: 4
data: {type: synthetic}
run: {steps: 2}
YAML
expect_exit 0 "$moiety" train "$work/run.yaml" --run-dir "$work/run" \
  model.init_from="$work/model.h5"

expect_exit 0 "$moiety" ckpt export-hf "$work/run" --out "$work/out" --max-shard-size 50kB \
  --config-from "$golden/$model/config.json"
[ -f "$work/out/model-00001-of-00003.safetensors" ] || fail "no three shards: $(ls "$work/out")"
expect_exit 4 "$moiety" ckpt export-hf "$work/run" --out "$work/out"
grep -q "has weights already" "$work/output" || fail "weights would be overwritten"
grep -q '"bos_token_id": 1' "$work/out/config.json" || fail "--config-from was not kept"
expect_exit 0 "$moiety" ckpt import-hf "$work/out" --out "$work/again.h5" --config-out "$work/a.yaml"
expect_exit 0 "$moiety" ckpt verify "$work/again.h5"
diff <(grep -v sequence_length "$work/model.yaml") <(grep -v sequence_length "$work/a.yaml") ||
  fail "the configuration changed on the way"

# No step of training: what is saved is what came in.
expect_exit 0 "$moiety" train "$work/run.yaml" --run-dir "$work/frozen" \
  model.init_from="$work/again.h5" 'model.freeze=["*"]' run.steps=1
expect_exit 0 "$moiety" ckpt export-hf "$work/frozen" --out "$work/same" --max-shard-size 50kB
for file in "$work"/out/*.safetensors; do
  cmp "$file" "$work/same/$(basename "$file")" || fail "the weights changed on the way"
done

expect_exit 0 "$moiety" train "$work/run.yaml" --run-dir "$work/student" model.layers=2 \
  model.init_from.checkpoint="$work/run" 'model.init_from.layers=[0, 2]'
expect_exit 0 "$moiety" train "$work/run.yaml" --run-dir "$work/moe" moe.num_experts=4 \
  moe.hidden=32 moe.expert.type=swiglu moe.gate.type=topk moe.gate.params.k=2 \
  moe.expert_interval=1 model.init_from.checkpoint="$work/run" model.init_from.upcycle=true
expect_exit 4 "$moiety" train "$work/run.yaml" --run-dir "$work/none" moe.num_experts=4 \
  model.init_from.checkpoint="$work/run"
grep -q "missing in the file: /parameters/layers.1.moe" "$work/output" || fail "no source, no error"
echo passed
