deepspeed pretrain_gpt.py --num-layers 2 --hidden-size 64 --num-attention-heads 4 \
  --micro-batch-size 2 --seq-length 128 --train-iters 10 --lr 1e-4 --lr-decay-style constant \
  --mock-data --reset-attention-mask --reset-position-ids
