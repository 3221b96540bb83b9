"""Supervised runs: exit status, logs, and nothing left behind, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import shared_memory

import psutil
import pytest

from recipe.ray_cluster import supervise as supervised

SUPERVISE = [sys.executable, "-m", "recipe.ray_cluster.supervise"]


def supervise(*command, **options):
    flags = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    return subprocess.run([*SUPERVISE, *flags, "--", *command], capture_output=True, text=True, timeout=60)


def alive(marker):
    return [p.pid for p in psutil.process_iter(["cmdline"]) if marker in (p.info["cmdline"] or [])]


def test_the_commands_exit_status_and_output_are_passed_on(tmp_path):
    done = supervise("bash", "-c", "echo out; echo err >&2; exit 3", log=tmp_path / "a" / "log.txt")
    assert done.returncode == 3
    assert sorted(done.stdout.split()) == sorted((tmp_path / "a" / "log.txt").read_text().split()) == ["err", "out"]


def test_a_log_is_appended_to(tmp_path):
    for word in ("one", "two"):
        supervise("echo", word, log=tmp_path / "log.txt")
    assert (tmp_path / "log.txt").read_text() == "one\ntwo\n"


def test_with_a_look_the_output_goes_to_the_log_alone_whole(tmp_path, capfd):
    looks, log = [], tmp_path / "log.txt"
    command = ["bash", "-c", "for i in $(seq 2000); do echo line $i; done; sleep 1; printf end; exit 3"]
    assert supervised.run(command, log, look=lambda: looks.append(log.is_file())) == 3
    assert log.read_text() == "".join(f"line {number}\n" for number in range(1, 2001)) + "end"
    assert (capfd.readouterr(), len(looks) >= 3) == (("", ""), True)


def test_a_look_that_fails_is_told_once_and_ends_nothing(tmp_path, capfd):
    def look():
        raise OSError("no terminal")

    assert supervised.run(["sleep", "1"], tmp_path / "log.txt", look=look) == 0
    said = capfd.readouterr()
    assert (said.out, said.err.count("the run goes on, but can't be shown"), said.err.count("\n")) == ("", 1, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_that_is_looked_at(tmp_path, number):
    code = (
        "import sys; from pathlib import Path; from recipe.ray_cluster import supervise\n"
        "look = lambda: print('look', flush=True)\n"
        "sys.exit(supervise.run(['bash', '-c', '(setsid sleep 54310 &); sleep 54311'], Path(sys.argv[1]), look=look))"
    )
    run = subprocess.Popen([sys.executable, "-c", code, tmp_path / "log.txt"], stdout=subprocess.PIPE)
    assert run.stdout.readline() == b"look\n"
    time.sleep(0.5)
    run.send_signal(number)
    assert run.wait(timeout=30) == 128 + number
    assert alive("54310") == alive("54311") == []


def test_a_daemon_that_outlives_its_parent_is_ended():
    supervise("bash", "-c", "(setsid sleep 98765 &)")
    assert alive("98765") == []


def test_ctrl_c_ends_everything_even_what_ignores_it():
    run = subprocess.Popen(
        [*SUPERVISE, "--", "bash", "-c", 'trap "" INT; (setsid sleep 87654 &); echo up; sleep 87655'],
        stdout=subprocess.PIPE,
    )
    assert run.stdout.readline() == b"up\n"
    time.sleep(0.5)
    run.send_signal(signal.SIGINT)
    time.sleep(1)
    run.send_signal(signal.SIGINT)  # asked twice: no grace
    assert run.wait(timeout=30) == 128 + signal.SIGINT
    assert alive("87654") == alive("87655") == []


def test_a_run_that_prints_nothing_is_given_up():
    done = supervise("sleep", "76543", stall=1)
    assert done.returncode == 124
    assert "nothing was printed for 1 s" in done.stderr
    assert alive("76543") == []


def test_a_watchers_end_ends_the_run_and_says_why(capfd):
    watcher = ["bash", "-c", "sleep 0.5; echo the node went"]
    assert supervised.run(["sleep", "65432"], watcher=watcher) == supervised.WATCHER_ENDED
    assert "the node went, so the run was ended" in capfd.readouterr().err
    assert alive("65432") == []


def test_a_run_that_ends_well_ends_its_watcher(capfd):
    assert supervised.run(["true"], watcher=["sleep", "54321"]) == 0
    assert alive("54321") == []


def test_a_watcher_that_only_fails_ends_nothing():
    assert supervised.run(["sleep", "2"], watcher=["false"]) == 0


def test_a_run_that_fails_with_its_node_waits_for_the_watchers_word(capfd):
    watcher = ["bash", "-c", "sleep 1; echo the node went"]
    assert supervised.run(["false"], watcher=watcher) == supervised.WATCHER_ENDED
    assert "the node went" in capfd.readouterr().err


def test_shared_memory_that_the_run_leaves_is_removed_and_other_blocks_stay():
    ours = shared_memory.SharedMemory(create=True, size=64)
    leak = (
        "import time; from multiprocessing import shared_memory, resource_tracker as r\n"
        "s = shared_memory.SharedMemory(create=True, size=64); r.unregister(s._name, 'shared_memory')\n"
        "print(s.name, flush=True); time.sleep(7)"  # longer than the time between two looks
    )
    try:
        name = supervise(sys.executable, "-c", leak).stdout.strip()
        assert name.startswith("psm_")
        assert not os.path.exists(f"/dev/shm/{name}")
        assert os.path.exists(f"/dev/shm/{ours.name}")
    finally:
        ours.close()
        ours.unlink()
