#!/bin/bash
# PR-MoE 350M-32/64: the pyramid as numbers, wider at the end.
EP_SIZE="32 32 32 32 32 32 32 32 32 32 64 64"
torchrun --nproc_per_node=2 pretrain_gpt.py --num-layers=24 --hidden-size=1024 \
  --num-attention-heads=16 --seq-length 2048 \
  --num-experts ${EP_SIZE} --mlp-type residual --moe-loss-coeff 0.01 --topk 2 \
  --disable-moe-top2-2nd-expert-sampling --create-moe-param-group \
  --moe-expert-parallel-size 2 \
  --micro-batch-size 4 --train-samples 1000000 --optimizer adam --adam-beta2 0.95 \
  --lr 3e-4 --lr-decay-style constant --min-lr 0 --bf16 --deepspeed --deepspeed_config nowhere.json
