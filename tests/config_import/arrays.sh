#!/bin/bash
# Arguments in arrays, as NVIDIA's newer scripts have them; a dense Llama.
export CUDA_DEVICE_MAX_CONNECTIONS=1
GPUS_PER_NODE=${GPUS_PER_NODE:-1}
DISTRIBUTED_ARGS=(
    --nproc_per_node $GPUS_PER_NODE
    --nnodes 1
)
GPT_MODEL_ARGS=(
    --num-layers 8        # small
    --hidden-size 512
    --num-attention-heads 8
    --num-key-value-heads 4
    --seq-length 1024
    --swiglu
    --disable-bias-linear
    --normalization RMSNorm
    --use-rotary-position-embeddings
    --rotary-base 500000
    --untie-embeddings-and-output-weights
    --hidden-dropout 0.0
    --attention-dropout 0.0
    --tokenizer-type NullTokenizer
    --vocab-size 32000
)
TRAINING_ARGS=(
    --micro-batch-size 2 --global-batch-size $((2 * (4 + 4)))
    --train-iters 500 --exit-interval 400 --eval-iters 0
    --lr 6.0e-4 --lr-decay-style constant --weight-decay 0.1 --clip-grad 1.0
    --mock-data --no-bias-swiglu-fusion --loss-scale 1024 --initial-loss-scale 65536 --fp16
)
if [ -n "$SLURM_JOB_ID" ]; then
    TRAINING_ARGS+=(--seed 1)
elif [ "$GPUS_PER_NODE" = "1" ]; then
    TRAINING_ARGS+=(--seed 2)
fi
if [[ $GPUS_PER_NODE -gt 1 ]]; then
    TRAINING_ARGS+=(--seed 3)
else
    TRAINING_ARGS+=(--log-interval 5)
fi
torchrun "${DISTRIBUTED_ARGS[@]}" pretrain_gpt.py "${GPT_MODEL_ARGS[@]}" "${TRAINING_ARGS[@]}" 2>&1 | tee out.log
