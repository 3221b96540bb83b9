#!/usr/bin/env bash
# GRPO of the fine-tuned Qwen3-8B (models/sft_qwen3_8b), on the Ray cluster at RAY_ADDRESS if set, else on this machine.
#
#   python data_prep/to_parquet.py grpo --corpora IE_INSTRUCTIONS --list in_domain --out data/grpo
#   bash launch/grpo_qwen3_8b.sh                                    # the paper's variant; others: VARIANT=trl, VARIANT=verl
#   RAY_ADDRESS=auto bash launch/grpo_qwen3_8b.sh trainer.nnodes=2  # two nodes of 8 GPUs
#   bash launch/grpo_qwen3_8b.sh actor_rollout_ref.model.path=my/model data.train_files=my/train.parquet
set -euo pipefail
exec bash "$(dirname "$0")/train.sh" grpo_qwen3_8b "method=grpo_${VARIANT:-paper}" "$@"
