#!/usr/bin/env bash
# Fine-tunes a LoRA adapter of Qwen3-8B-Base on chain-of-thought answers, on this machine's 8 GPUs.
#
#   python data_prep/to_parquet.py sft --ner-cot NER-CoT.json --out data/sft
#   bash launch/sft_qwen3_8b_lora.sh
#   bash launch/sft_qwen3_8b_lora.sh --ranks 2 model.lora_rank=64 optim.lr=1e-4
#   python -m recipe.merge outputs/sft_qwen3_8b_lora --out models/sft_qwen3_8b_lora    # a plain model, adapter folded in
#   python -m recipe.merge outputs/sft_qwen3_8b_lora --adapter-only                    # the adapter, for peft and vLLM
# LoRA with any other experiment: bash launch/train.sh sft_qwen3_1_7b +lora=sft trainer.experiment_name=my_name
set -euo pipefail
exec bash "$(dirname "$0")/train.sh" sft_qwen3_8b_lora "$@"
