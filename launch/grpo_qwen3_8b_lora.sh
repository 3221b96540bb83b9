#!/usr/bin/env bash
# GRPO of a LoRA adapter on models/sft_qwen3_8b_lora, on the Ray cluster at RAY_ADDRESS if set, else on this machine.
#
#   python data_prep/to_parquet.py grpo --instructuie IE_INSTRUCTIONS --list in_domain --out data/grpo
#   bash launch/grpo_qwen3_8b_lora.sh
#   bash launch/grpo_qwen3_8b_lora.sh actor_rollout_ref.model.path=models/sft_qwen3_8b trainer.experiment_name=my_name
#   python -m recipe.merge outputs/grpo_qwen3_8b_lora --out models/grpo_qwen3_8b_lora
# LoRA with any other experiment: bash launch/train.sh grpo_qwen3_1_7b_trl +lora=grpo trainer.experiment_name=my_name
set -euo pipefail
exec bash "$(dirname "$0")/train.sh" grpo_qwen3_8b_lora "$@"
