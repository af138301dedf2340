deepspeed pretrain_gpt.py --num-layers 2 --hidden-size 128 --num-attention-heads 2 \
  --seq-length 128 --max-position-embeddings 128 --micro-batch-size 4 --global-batch-size 4 \
  --num-experts 4 --lr 1e-4 --lr-decay-style constant --train-iters 10 \
  --bf16 --fp8-format hybrid --fp8-recipe blockwise
