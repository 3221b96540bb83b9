#!/usr/bin/env bash
# Runs one experiment of hydra_configs; the other scripts are this one with a name filled in.
#
#   bash launch/train.sh grpo_qwen3_8b_paper trainer.nnodes=2
#
# Everything after the name goes to Hydra. NER_PYTHON=python3 uses an environment of your own (a container with verl)
# instead of .venv. What runs is printed, to be run by hand if you like:
#   python -m recipe.preflight NAME ...                                      checks, every row
#   torchrun --nproc_per_node 8 -m sft.train --config-dir hydra_configs --config-name NAME ...
#   python -m verl.trainer.main_ppo --config-dir hydra_configs --config-name NAME ...
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ -z ${NER_PYTHON:-} ]]; then
    bash launch/setup.sh -q
    NER_PYTHON=.venv/bin/python
fi
exec "$NER_PYTHON" -m recipe.train "$@"
