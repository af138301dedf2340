# What only the shell of the day knows is named, not guessed.
LAYERS=${LAYERS:-6}
WIDTH=$((LAYERS * 64))
if [ "$CLUSTER" = "big" ]; then
  BATCH=64
elif [ "$LAYERS" -gt 4 ]; then
  BATCH=32
else
  BATCH=16
fi
if [ "$LAYERS" -gt 4 ]; then
  STEPS="--train-iters 100"
else
  STEPS="--train-iters 200"
fi
export EXTRA='--seed 5 --log-interval 10'
cd /somewhere && python -u pretrain_gpt.py --num-layers $LAYERS --hidden-size "$WIDTH" \
  --num-attention-heads $HEADS --global-batch-size $BATCH --micro-batch-size 2 ${STEPS} $EXTRA \
  --save "runs/$(date +%F)" --tensorboard-dir "$LOGS" --lr 1e-3 --lr-decay-style constant \
  --wandb-project=mine > log.txt 2>&1
