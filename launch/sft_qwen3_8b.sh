#!/usr/bin/env bash
# Fine-tunes Qwen3-8B-Base on chain-of-thought answers, on this machine's 8 GPUs.
#
#   python data_prep/to_parquet.py sft --ner-cot NER-CoT.json --out data/sft
#   bash launch/sft_qwen3_8b.sh
#   bash launch/sft_qwen3_8b.sh --ranks 4 optim.lr=1e-5 data.max_token_len_per_gpu=8192
#   python -m recipe.merge outputs/sft_qwen3_8b --out models/sft_qwen3_8b
set -euo pipefail
exec bash "$(dirname "$0")/train.sh" sft_qwen3_8b "$@"
