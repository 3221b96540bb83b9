#!/usr/bin/env bash
# Fine-tunes Qwen3-0.6B-Base or 1.7B-Base on chain-of-thought answers, on this machine's one GPU of 24 to 141 GiB.
#
#   python data_prep/to_parquet.py sft --ner-cot NER-CoT.json --out data/sft
#   bash launch/sft_1gpu.sh
#   MODEL=qwen3_1_7b bash launch/sft_1gpu.sh                              # 40 GiB and more
#   MODEL=qwen3_1_7b bash launch/sft_1gpu.sh engine.offload_policy=true   # 24 GiB
#   python -m recipe.merge outputs/sft_qwen3_0_6b_1gpu --out models/sft_qwen3_0_6b
set -euo pipefail
model=${MODEL:-qwen3_0_6b}
settings=(hardware=sft_gpu_1 "model=$model" "trainer.experiment_name=sft_${model}_1gpu")
exec bash "$(dirname "$0")/train.sh" sft_qwen3_1_7b "${settings[@]}" "$@"
