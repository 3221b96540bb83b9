#!/usr/bin/env bash
# Sourced by the scripts of several steps, so that a step ends with its script.
#
#   run COMMAND...      COMMAND's status, as without `run`; on SIGTERM, SIGHUP or Ctrl-C it and all that it started in
#                       its process group get the signal, are waited for, and the script says what it ended, how it goes
#                       on (`resumes`), and ends with 128 + signal
#   step TEXT...        a heading, with the time that the step before it took
#   set_up              launch/setup.sh, unless NER_PYTHON names a Python that has everything; `py` is the Python. Then
#                       `hardware`, where the script leaves it empty, is what that vLLM is built for, cpu or gpu_1, and
#                       `sft_on` and `grpo_on` are the settings that put there what was made for CPUs
set -euo pipefail
set -m # each step is a process group of its own: Ctrl-C reaches the script alone, which passes it on
ended_by=0 signal='' running='' heading='' begun=0 resumes=''
py=${NER_PYTHON:-.venv/bin/python} hardware='' sft_on=() grpo_on=()
pass_on() { # pass_on NAME NUMBER
    ended_by=$((128 + $2)) signal=$1
    [[ -z $running ]] || kill -s "$1" -- "-$running" 2>/dev/null || true
}
trap 'pass_on INT 2' INT
trap 'pass_on TERM 15' TERM
trap 'pass_on HUP 1' HUP
took() { # took SECONDS: "7 s", "1 min 05 s"
    if (($1 < 60)); then printf '%d s' "$1"; else printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); fi
}
step() {
    local before=''
    [[ -z $heading ]] || before="   (${heading%% *} took $(took $((SECONDS - begun))))"
    printf '\n== %s%s\n' "$*" "$before"
    heading=$* begun=$SECONDS
}
end() {
    echo "${0##*/}: ended by SIG$signal${heading:+ in step $heading}${resumes:+; $resumes}" >&2
    exit "$ended_by"
}
run() {
    local status=0
    ((ended_by == 0)) || end
    "$@" &
    running=$!
    ((ended_by == 0)) || kill -s TERM -- "-$running" 2>/dev/null || true # it came between these two lines
    wait "$running" || status=$?
    while kill -0 "$running" 2>/dev/null; do wait "$running" || status=$?; done # a signal ends a wait, not the step
    running=
    ((ended_by == 0)) || end
    return "$status"
}
set_up() {
    local configs=hydra_configs/hardware name=${0##*/}
    if [[ -n $hardware && ! (-e $configs/$hardware.yaml && -e $configs/sft_$hardware.yaml) ]]; then
        echo "${name%.sh}: hardware=$hardware: not known; cpu, gpu_1 or gpu_8" >&2
        exit 2
    fi
    [[ -n ${NER_PYTHON:-} ]] || run bash launch/setup.sh -q
    [[ -n $hardware ]] || hardware=$("$py" -c 'from recipe import cpu; print("cpu" if cpu.is_installed() else "gpu_1")')
    # shellcheck disable=SC2034 # the script that sources this reads them
    [[ $hardware == cpu ]] || sft_on=("hardware=sft_$hardware") grpo_on=("hardware=$hardware")
}
