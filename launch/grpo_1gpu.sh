#!/usr/bin/env bash
# GRPO of a fine-tuned Qwen3 of 0.6B or 1.7B (models/sft_qwen3_0_6b) on this machine's one GPU of 24 to 141 GiB.
#
#   python data_prep/to_parquet.py grpo --corpora IE_INSTRUCTIONS --list in_domain --out data/grpo
#   bash launch/grpo_1gpu.sh                                 # the paper's variant; others: VARIANT=trl, VARIANT=verl
#   MODEL=qwen3_1_7b bash launch/grpo_1gpu.sh                # 40 GiB and more
#   MODEL=qwen3_1_7b bash launch/grpo_1gpu.sh actor_rollout_ref.actor.fsdp_config.offload_policy=true   # 24 GiB
#   bash launch/grpo_1gpu.sh --dry-run                       # checks and the command; what fits: python -m recipe.plan
set -euo pipefail
model=${MODEL:-qwen3_0_6b}
settings=("method=grpo_${VARIANT:-paper}" hardware=gpu_1 "model@actor_rollout_ref.model=$model" "actor_rollout_ref.model.path=models/sft_$model")
settings+=("trainer.experiment_name=grpo_${model}_1gpu")
exec bash "$(dirname "$0")/train.sh" grpo_qwen3_1_7b "${settings[@]}" "$@"
