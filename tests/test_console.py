"""Whose lines go where: libraries' into a log, the command's own to the terminal, a failure's cause after it."""

import os
import subprocess
import sys

import pytest

from recipe.core import console
from recipe.core.command_line import Failed
from recipe.core.entities import DataError

SAYS = """
import ctypes, subprocess, sys, warnings
from pathlib import Path
from recipe.core.console import logged, terminal
print("before", file=sys.stderr)
with logged(Path(sys.argv[1])):
    print("python out")
    print("python err", file=sys.stderr)
    warnings.warn("a warning")
    ctypes.CDLL(None).puts(b"c out")
    subprocess.run(["sh", "-c", "echo child out; echo child err >&2"], check=True)
    print("for " + "people", file=terminal())
print("after", file=sys.stderr)
print("a table")
"""
LIBRARIES = ("python out", "python err", "UserWarning: a warning", "c out", "child out", "child err")


def says(log, **environment):
    """What a process shows whose libraries print to their log."""
    command = [sys.executable, "-c", SAYS, str(log)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_libraries_print_to_the_log_and_the_command_to_the_terminal(tmp_path):
    log = tmp_path / "new folder" / "log.txt"
    assert says(log, NER_VERBOSE="") == ("a table\n", "before\nfor people\nafter\n")
    written = log.read_text()
    assert written.startswith("$ ")
    assert [text for text in LIBRARIES if text not in written] == []
    assert "for people" not in written


def test_a_second_start_is_added_to_the_log(tmp_path):
    for _ in range(2):
        says(tmp_path / "log.txt", NER_VERBOSE="")
    assert (tmp_path / "log.txt").read_text().count("\nchild out\n") == 2


def test_who_asks_for_it_sees_all_of_it(tmp_path):
    out, err = says(tmp_path / "log.txt", NER_VERBOSE="1")
    assert [text for text in LIBRARIES if text not in out + err] == []
    assert not (tmp_path / "log.txt").exists()


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.delenv("NER_VERBOSE", raising=False)


def test_a_failure_tells_its_cause_and_where_the_traceback_is(tmp_path, quiet):
    log = tmp_path / "log.txt"
    log.write_text("an earlier start\n")
    with pytest.raises(Failed) as failed, console.logged(log):
        raise RuntimeError("no memory for the cache")
    cause, where, named = failed.value.lines
    assert cause == "cause      RuntimeError: no memory for the cache"
    assert "in test_a_failure_tells_its_cause" in where
    at = int(named.removeprefix(f"log        {log}, line "))
    assert log.read_text().splitlines()[at - 1] == "RuntimeError: no memory for the cache"


@pytest.mark.parametrize(
    "error", [DataError("a.parquet: no rows"), FileNotFoundError("a.parquet"), KeyboardInterrupt()]
)
def test_what_has_its_own_line_is_left_alone(tmp_path, quiet, error):
    with pytest.raises(type(error)) as raised, console.logged(tmp_path / "log.txt"):
        raise error
    assert raised.value is error


def test_descriptors_are_what_they_were_after_a_failure(tmp_path, quiet):
    before = [os.fstat(descriptor).st_ino for descriptor in (1, 2)]
    with pytest.raises(Failed), console.logged(tmp_path / "log.txt"):
        raise ValueError
    assert [os.fstat(descriptor).st_ino for descriptor in (1, 2)] == before
    assert console.terminal() is sys.stderr
