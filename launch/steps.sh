#!/usr/bin/env bash
# Sourced by the scripts of several steps, so that a step ends with its script.
#
#   run COMMAND...      COMMAND's status, as without `run`; on SIGTERM, SIGHUP or Ctrl-C it and all that it started in
#                       its process group get the signal, are waited for, and the script ends with 128 + signal
set -euo pipefail
set -m # each step is a process group of its own: Ctrl-C reaches the script alone, which passes it on
ended_by=0 running=
pass_on() { # pass_on NAME NUMBER
    ended_by=$((128 + $2))
    [[ -z $running ]] || kill -s "$1" -- "-$running" 2>/dev/null || true
}
trap 'pass_on INT 2' INT
trap 'pass_on TERM 15' TERM
trap 'pass_on HUP 1' HUP
run() {
    local status=0
    ((ended_by == 0)) || exit "$ended_by"
    "$@" &
    running=$!
    ((ended_by == 0)) || kill -s TERM -- "-$running" 2>/dev/null || true # it came between these two lines
    wait "$running" || status=$?
    while kill -0 "$running" 2>/dev/null; do wait "$running" || status=$?; done # a signal ends a wait, not the step
    running=
    ((ended_by == 0)) || exit "$ended_by"
    return "$status"
}
