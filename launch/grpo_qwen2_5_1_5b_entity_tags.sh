#!/usr/bin/env bash
# GRPO of Qwen2.5-1.5B-Instruct on questions about one type each, with four rewards ("RL Meets NER"), on two GPUs.
#
#   python data_prep/to_parquet.py grpo --corpora IE_INSTRUCTIONS --datasets "CoNLL 2003" --answer-format entity_tags \
#       --tokenizer Qwen2.5-1.5B-Instruct --max-prompt-tokens 2048 --out data/grpo_entity_tags
#   bash launch/grpo_qwen2_5_1_5b_entity_tags.sh data.train_files=data/grpo_entity_tags/train.parquet \
#       data.val_files=data/grpo_entity_tags/dev.parquet
set -euo pipefail
exec bash "$(dirname "$0")/train.sh" grpo_qwen2_5_1_5b_entity_tags "$@"
