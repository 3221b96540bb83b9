#!/usr/bin/env bash
# Runs one experiment of hydra_configs.
#
#   bash launch/train.sh grpo_qwen3_8b trainer.nnodes=2
#   bash launch/train.sh grpo_qwen3_8b method=grpo_trl
#
# Everything after the name goes to Hydra. NER_PYTHON=python3 uses an environment of your own (a container with verl)
# instead of .venv. The script prints what it runs, so that you can run it by hand:
#   python -m recipe.preflight NAME ...                                      checks, every row
#   torchrun --nproc_per_node 8 -m sft.train --config-dir hydra_configs --config-name NAME ...
#   python -m verl.trainer.main_ppo --config-dir hydra_configs --config-name NAME ...
# python -m recipe.train --help: further options. The head of hydra_configs/NAME.yaml: how to prepare an experiment's data.
set -euo pipefail
cd "$(dirname "$0")/.."
experiments() { # needs no environment, so that it works in a fresh clone
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' launch/train.sh
    printf '\nexperiments:\n'
    for file in hydra_configs/*.yaml; do
        name=${file##*/}
        printf '  %-31s %s\n' "${name%.yaml}" "$(sed -n '1s/^# //p' "$file")"
    done
}
case ${1:-} in
-h | --help)
    experiments
    exit
    ;;
'')
    experiments >&2
    exit 2
    ;;
esac
if [[ -z ${NER_PYTHON:-} ]]; then
    bash launch/setup.sh -q
    NER_PYTHON=.venv/bin/python
fi
exec "$NER_PYTHON" -m recipe.train "$@"
