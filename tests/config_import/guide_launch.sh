deepspeed --num_gpus 8 --num_nodes 2 pretrain_gpt_moe.py \
  --num-layers 24 --hidden-size 1024 --num-attention-heads 16 \
  --seq-length 1024 --max-position-embeddings 1024 \
  --micro-batch-size 4 --global-batch-size 256 \
  --num-experts "[128, 64, 32, 16]" \
  --mlp-type residual \
  --moe-expert-parallel-size 8 \
  --moe-loss-coeff 0.01 --moe-z-loss-coeff 0.001 \
  --disable-moe-token-dropping \
  --lr 0.0001 --lr-decay-style constant --clip-grad 1.0 --fp16
