#!/usr/bin/env bash
# Submits an experiment as a job to a Ray cluster's dashboard: the code is shipped, data, models and runs are not.
#
#   bash launch/ray_cluster.sh head --dashboard-host 0.0.0.0                          # on the cluster's first machine
#   RAY_API_SERVER_ADDRESS=http://10.0.0.1:8265 bash launch/submit.sh grpo_qwen3_8b trainer.nnodes=2
#
# Relative paths of data, models and runs are from NER_ROOT on, by default this folder: both must be on storage that all
# nodes mount. NER_PYTHON is the Python on the nodes that has verl, by default this folder's .venv.
# launch/runtime_env.yaml says what is not shipped. `ray job logs ID` and `ray job stop ID` follow and end the job.
set -euo pipefail
cd "$(dirname "$0")/.."
[[ -n ${NER_PYTHON:-} ]] || bash launch/setup.sh -q
python=${NER_PYTHON:-$PWD/.venv/bin/python} root=${NER_ROOT:-$PWD}
exec "${python%/*}/ray" job submit ${NER_NO_WAIT:+--no-wait} --working-dir . --runtime-env launch/runtime_env.yaml -- \
    env NER_PYTHON="$python" bash launch/train.sh "$@" --root "$root"
