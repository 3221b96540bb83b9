#!/usr/bin/env bash
# Sourced by the scripts of several steps, so that a step ends with its script.
#
#   run COMMAND...      COMMAND's status, as without `run`; on SIGTERM, SIGHUP or Ctrl-C it and all that it started in
#                       its process group get the signal, are waited for, and the script says what it ended, how it goes
#                       on (`resumes`), and ends with 128 + signal
#   step TEXT...        a heading, with the time that the step before it took
set -euo pipefail
set -m # each step is a process group of its own: Ctrl-C reaches the script alone, which passes it on
ended_by=0 signal='' running='' heading='' begun=0 resumes=''
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
