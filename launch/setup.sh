#!/usr/bin/env bash
# Creates .venv with everything that training, evaluation and the tests need.
#
#   bash launch/setup.sh [cpu|gpu] [-q]     without cpu or gpu: what .venv holds, else gpu where nvidia-smi sees one
#
# A second run returns at once (-q: and says nothing); one that was interrupted is repaired. Versions: pyproject.toml and
# launch/constraints.txt. pip's configuration (index, wheel folders, certificate, proxy) holds here too.
# PYTHON=/path/to/python picks the interpreter, 3.10 to 3.12; 3.11 is the one that is tested.
set -euo pipefail
cd "$(dirname "$0")/.."

quiet=false flavour=
for arg in "$@"; do
    case $arg in
        cpu | gpu) flavour=$arg ;;
        -q | --quiet) quiet=true ;;
        -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"; exit 0 ;;
        *) echo "setup: unknown argument '$arg'; usage: bash launch/setup.sh [cpu|gpu] [-q]" >&2; exit 2 ;;
    esac
done
say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 2; }
has_gpu() { command -v nvidia-smi > /dev/null && nvidia-smi -L 2> /dev/null | grep -q '^GPU'; }
pin() { sed -n "s/.*\"\($1==[^\"]*\)\".*/\1/p" pyproject.toml | head -n 1; }

# ------------------------------------------------------------------------------------------- is there anything to do?
# The stamp has three lines: flavour, this folder (a moved .venv is broken) and a hash of all that decides the contents.
stamp=.venv/.ner-setup partial=.venv/.ner-setup.partial
digest() { cat pyproject.toml launch/constraints.txt launch/overrides-*.txt launch/setup.sh | sha256sum | cut -d' ' -f1; }
installed=$(sed -n 1p "$stamp" 2> /dev/null || true)
if [[ -z $flavour ]]; then
    flavour=$installed # kept on a login node without a GPU, too
    [[ -n $flavour ]] || { has_gpu && flavour=gpu || flavour=cpu; }
fi
is_done() { [[ "$(cat "$stamp" 2> /dev/null)" == "$(printf '%s\n' "$flavour" "$PWD" "$(digest)")" ]] && [[ -x .venv/bin/python ]]; }
if is_done; then
    $quiet || say ".venv is up to date ($flavour)"
    exit 0
fi
if command -v flock > /dev/null; then # of two launch scripts that start together, one sets up and the other waits
    exec 9< pyproject.toml
    flock -n 9 || { say "another set-up of this folder is running; waiting for it"; flock 9; }
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
    if [[ -n $installed && $installed != "$flavour" ]]; then why="it is for $installed"; fi
    if [[ -n $moved && $moved != "$PWD" ]]; then why="it was made in $moved"; fi
    if [[ -e $partial ]]; then why="its set-up was interrupted"; fi # a package may have been cut off in the middle
fi
if [[ -n $why ]]; then
    say "making .venv anew: $why"
    rm -rf "$stamp" .venv/bin # first, so that what an interruption leaves is seen to be unusable
    rm -rf .venv
fi
if [[ ! -e .venv ]]; then
    say "creating .venv with $("$python" --version) ($flavour)"
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
backend=()
if [[ $flavour == cpu ]]; then
    torch=$(pin torch)
    # The CPU build is not on every index; where it isn't, uv knows PyTorch's own.
    "$uv" pip install -q -p "$py" --dry-run --no-deps "$torch" 2> /dev/null || backend=(--torch-backend cpu)
fi
say "installing this project with its '$flavour' and 'dev' requirements (about $need GB): $(sed -n "s/^$flavour = \[\(.*\)\]/\1/p" pyproject.toml | tr -d '"')"
touch "$partial"
# One call, so that one resolution covers everything.
"$uv" pip install -p "$py" "${backend[@]}" -c launch/constraints.txt --override "launch/overrides-$flavour.txt" \
    -e ".[$flavour,dev]" || { rm -f "$partial"; die "the install failed (see above); run it again to go on"; }
rm -f "$partial"

if [[ $flavour == gpu ]]; then
    flash=$(pin flash-attn)
    build=("$uv" pip install -p "$py" --no-build-isolation --no-deps "$flash")
    say "$flash: looking for a built one, else compiling it (with nvcc, up to an hour; log: .venv/flash-attn.log)"
    if "${build[@]}" > .venv/flash-attn.log 2>&1 && "$py" -c 'import flash_attn' 2>> .venv/flash-attn.log; then
        say "$flash is in place"
    else
        "$uv" pip uninstall -q -p "$py" flash-attn 2> /dev/null || true
        say "$flash could not be built (.venv/flash-attn.log): runs use PyTorch's SDPA attention. To try again: ${build[*]}"
    fi
fi

# ---------------------------------------------------------------------------------------------------------------- check
"$py" launch/check_setup.py "$flavour" || die "the environment is not usable (see above)"
printf '%s\n' "$flavour" "$PWD" "$(digest)" > "$stamp"
say "done; everything is in .venv, for instance .venv/bin/python"
