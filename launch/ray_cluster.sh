#!/usr/bin/env bash
# A Ray cluster by hand: the same command on every machine, and GRPO then takes all of them.
#
#   bash launch/ray_cluster.sh head                                        # on the first machine; prints RAY_ADDRESS
#   RAY_ADDRESS=10.0.0.1:6379 bash launch/ray_cluster.sh worker            # on every other one
#   RAY_ADDRESS=10.0.0.1:6379 bash launch/ray_cluster.sh wait --nodes 2 --slots 8 --deadline 300
#   RAY_ADDRESS=10.0.0.1:6379 bash launch/grpo_qwen3_8b.sh trainer.nnodes=2      # on the first machine
#   bash launch/ray_cluster.sh status                                      # what runs, and who is in the cluster
#   bash launch/ray_cluster.sh stop                                        # on every machine; ends what was started here
#
# --help: addresses, ports, slots. What follows `--` goes to `ray start`. NER_PYTHON: as in launch/train.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ -z ${NER_PYTHON:-} ]]; then
    bash launch/setup.sh -q
    NER_PYTHON=.venv/bin/python
fi
exec "$NER_PYTHON" -m recipe.ray_cluster "$@"
