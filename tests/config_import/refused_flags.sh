deepspeed pretrain_gpt.py --num-layers 12 --hidden-size 768 --num-attention-heads 12 \
  --model-parallel-size 1 --batch-size 4 --tensor-model-parallel-size 2 \
  --micro-batch-size four --global-batch-size 32 --mikro-batch 4 \
  --num-experts 8 --mlp-type parallel --moe-capacity-factor 1.25 --expert-interval 1 \
  --kd-alpha-ce 1 --kd-temp 2 --teacher-forward --teacher-model-parallel-size 1 \
  --num-layers-teacher 24 --checkpoint-activations --use-alibi-position-embeddings \
  --lr 1e-4 --lr-decay-style constant --optimizer lamb_of_the_future --data-path $DATA \
  --tokenizer-type SentencePieceTokenizer --load elsewhere --cpu-optimizer \
  --fp8-format hybrid --fp8-hybrid --kv-channels --sequence-parallel stray
deepspeed pretrain_gpt.py --num-layers 24
