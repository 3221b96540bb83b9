#!/usr/bin/env bash
# Fine-tunes Qwen3-0.6B-Base on BIO answers with the recall-oriented loss, on one GPU.
#
#   python data_prep/to_parquet.py sft --instructuie IE_INSTRUCTIONS --answer-format bio --no-cot \
#       --tokenizer Qwen3-0.6B-Base --max-tokens 640 --out data/sft_bio
#   bash launch/sft_qwen3_0_6b_bio.sh
#   bash launch/sft_qwen3_0_6b_bio.sh loss=plain trainer.experiment_name=sft_qwen3_0_6b_bio_plain   # verl's own loss
#   bash launch/sft_qwen3_0_6b_bio.sh hardware=sft_gpu_8                                        # 8 GPUs
#   python -m recipe.merge outputs/sft_qwen3_0_6b_bio --out models/sft_qwen3_0_6b_bio
set -euo pipefail
exec bash "$(dirname "$0")/train.sh" sft_qwen3_0_6b_bio "$@"
