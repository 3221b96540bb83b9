#!/usr/bin/env bash
# Sets up if needed, then lints and tests, the slow tests too. With arguments, one pytest that gets them.
#
#   bash launch/test.sh
#   bash launch/test.sh -m long            # what takes minutes each: two nodes, LoRA in both stages, Ray Data; before a release
#   bash launch/test.sh -m "not slow" -x
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/steps.sh
. launch/steps.sh
run bash launch/setup.sh -q

# Nothing is fetched while testing, and logs keep to what matters. TORCH_COMPILE_DISABLE: no C++ compiler is needed.
# OMP_NUM_THREADS: several OpenMP threads on cores that others use, too, can be a hundred times slower than one.
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false RAY_USAGE_STATS_ENABLED=0 PYTHONUNBUFFERED=1
export TORCH_COMPILE_DISABLE=${TORCH_COMPILE_DISABLE:-1} OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export VLLM_LOGGING_LEVEL=${VLLM_LOGGING_LEVEL:-WARNING} VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1}

# The tests of pages want a browser; without one they are skipped and say how to get one.
browsers=(chromium chromium-browser chromium-headless-shell google-chrome google-chrome-stable)
if [[ -z ${CHROMIUM:-} && $EUID == 0 ]] && ! command -v "${browsers[@]}" >/dev/null && command -v apt-get >/dev/null; then
    echo "test: installing chromium-headless-shell"
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium-headless-shell; } >/dev/null 2>&1 || true
fi

status=0 # what the linter says doesn't hide what the tests say
.venv/bin/ruff check . || status=1
.venv/bin/ruff format --check . || status=1
pytest=(.venv/bin/python -m pytest --durations=15)
if (($#)); then
    run "${pytest[@]}" "$@" || status=$?
else
    # The training runs on Ray wait much of the time, for each other and for their processes: the others go on beside.
    said=$(mktemp -d) groups=()
    for marked in "slow and not ray" "not slow"; do
        "${pytest[@]}" -m "$marked and not long" >"$said/$marked" 2>&1 &
        groups+=("$!")
    done
    # Without the true, errexit makes a kill that comes too late the status.
    trap 'for group in "${groups[@]}"; do kill -- "-$group" 2>/dev/null || true; done; rm -rf "$said"' EXIT
    training=0
    # shellcheck disable=SC2329 # `run` calls it
    on_ray() { "${pytest[@]}" -m "ray and not long" 2>&1 | tee "$said/training"; }
    run on_ray || training=$?
    for group in "${groups[@]}"; do wait "$group" || status=$?; done
    ((ended_by == 0)) || exit "$ended_by"
    cat "$said/"*slow*
    if ((training)); then # once more, at the end, where it is looked for
        status=$training
        sed -n '/^=* \(FAILURES\|ERRORS\) =*$/,$p' "$said/training"
    fi
fi
exit "$status"
