# The published launch of 1.3B+MoE-128 in short: conditions, arithmetic, a ds_config written on the
# way, eval.
SEQ_LEN=2048
MODEL_SIZE=1.3
NUM_LAYERS=24
HIDDEN_SIZE=2048
NUM_ATTN_HEADS=16
GLOBAL_BATCH_SIZE=512
BATCH_SIZE=8
NUM_GPUS=64
EP_SIZE=128
if [[ $EP_SIZE -gt $NUM_GPUS ]]; then
    EP_PARALLEL_SIZE=$NUM_GPUS
else
    EP_PARALLEL_SIZE=$EP_SIZE
fi
TRAIN_TOKENS=300000000000
TRAIN_ITERS=$(( ${TRAIN_TOKENS} * 3 / ${GLOBAL_BATCH_SIZE} / ${SEQ_LEN} ))
current_time=$(date "+%Y.%m.%d-%H.%M.%S")
host="${HOSTNAME}"
NAME="gpt-${MODEL_SIZE}B-lr-1.2e-4"
mkdir -p "log/"
cat <<EOT > ds_config_${NAME}.json
{
  "train_batch_size" : ${GLOBAL_BATCH_SIZE},
  "train_micro_batch_size_per_gpu": ${BATCH_SIZE},
  "steps_per_print": 10,
  "zero_optimization": {"stage": 0, "elastic_checkpoint": true},
  "gradient_clipping": 1.0, // clip
  "prescale_gradients": true,
  "fp16": {"enabled": true, "loss_scale": 0, "loss_scale_window": 500, "hysteresis": 2, "min_loss_scale": 1, "initial_scale_power": 11},
  "wall_clock_breakdown" : false,
}
EOT
megatron_options=" \
        --override-lr-scheduler \
        --adam-beta1 0.9 --adam-beta2 0.95 \
        --tensor-model-parallel-size 1 \
        --moe-expert-parallel-size ${EP_PARALLEL_SIZE} \
        --num-experts ${EP_SIZE} \
        --moe-loss-coeff 0.01 \
        --moe-train-capacity-factor 1.0 \
        --moe-eval-capacity-factor 1.0 \
        --moe-min-capacity 4 \
        --init-method-std 0.014 \
        --lr-decay-tokens 300000000000 \
        --lr-warmup-tokens 375000000 \
        --micro-batch-size ${BATCH_SIZE} \
        --exit-duration-in-mins 30000000 \
        --global-batch-size ${GLOBAL_BATCH_SIZE} \
        --num-layers ${NUM_LAYERS} \
        --hidden-size ${HIDDEN_SIZE} \
        --num-attention-heads ${NUM_ATTN_HEADS} \
        --seq-length ${SEQ_LEN} \
        --max-position-embeddings ${SEQ_LEN} \
        --train-tokens ${TRAIN_TOKENS} \
        --train-iters ${TRAIN_ITERS} \
        --lr 1.2e-4 --min-lr 1.0e-6 \
        --lr-decay-style cosine \
        --split 98,2,0 \
        --log-interval 10 --eval-interval 100 --eval-iters 10 --save-interval 10000 \
        --weight-decay 0.1 --clip-grad 1.0 --hysteresis 2 --num-workers 0 --fp16 \
        --load out/${NAME} --save out/${NAME} \
        --tensorboard-dir tb/${NAME}_${host}_${current_time}"
megatron_options="${megatron_options} --create-moe-param-group --no-pipeline-parallel"
data_options=" --vocab-file gpt2-vocab.json --merge-file gpt2-merges.txt --data-path /data/pile_text_document --data-impl mmap"
run_cmd="deepspeed pretrain_gpt.py ${megatron_options} ${data_options} --deepspeed --deepspeed_config ds_config_${NAME}.json &> log/${NAME}.log"
echo ${run_cmd}
eval ${run_cmd}
set +x
