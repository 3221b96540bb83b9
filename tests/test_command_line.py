"""How every command ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recipe.core.command_line import FAILED, READER_GONE, exit_status
from recipe.core.entities import DataError


def ends(error):
    def run():
        raise error

    return exit_status("tool", run, "interrupted; again")


def test_a_command_that_says_nothing_ended_well():
    assert exit_status("tool", lambda: None) == 0
    assert exit_status("tool", lambda: 3) == 3


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (DataError("a.json, record 2: empty; fill it"), 2, "tool: a.json, record 2: empty; fill it\n"),
        (PermissionError(13, "Permission denied", "a"), 2, "tool: [Errno 13] Permission denied: 'a'\n"),
        (KeyboardInterrupt(), 130, "tool: interrupted; again\n"),
    ],
)
def test_what_stops_a_command_is_one_line(capsys, error, status, line):
    assert ends(error) == status
    assert capsys.readouterr() == ("", line)


def test_a_mistake_of_ours_is_not_hidden():
    with pytest.raises(ValueError, match="ours"):
        ends(ValueError("ours"))


def test_a_reader_that_goes_away_is_no_error():
    run = "sys.exit(exit_status('t', lambda: print('x' * 9**6)))"
    code = f"import sys; from recipe.core.command_line import exit_status; {run}"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 141)


# ------------------------------------------------------------------------------------------- the end of the process

ENDS = """
import atexit, sys
from recipe.core.command_line import end_with, is_command, unwind_on_sigterm
class Held:
    def __del__(self):
        print("taken to pieces")
held = Held()
assert not is_command()
unwind_on_sigterm()
def main():
    assert is_command()
    atexit.register(print, "handler")
    print("written")
    {last}
end_with(main)
"""


def end(last="return 0", stdout=subprocess.PIPE):
    """The process whose command ends so; what it prints is held back until then."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", ENDS.format(last=last)]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize(
    ("last", "status", "says"),
    [
        ("return 0", 0, ""),
        ("return 2", 2, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('a message')", 1, "a message"),
        ("sys.exit(3)", 3, ""),
        ("import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", 143, ""),
        ("raise KeyError('x')", 1, "KeyError: 'x'"),
        ("raise KeyboardInterrupt", 130, "KeyboardInterrupt"),
    ],
)
def test_a_command_ends_once_all_is_written_and_handled(last, status, says):
    done = end(last)
    assert (done.returncode, done.stdout) == (status, "written\nhandler\n")
    assert done.stderr.strip().endswith(says)
    assert bool(done.stderr) == bool(says)


INTERRUPTED_IN_C = """return exit_status("tool", swallow, "interrupted; again")
def swallow():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(9)
    except KeyboardInterrupt:
        pass
    raise Failed(["cause      ImportError: initialization failed"])
import os, signal, time
from recipe.core.command_line import Failed, exit_status
"""


def test_a_failure_that_ctrl_c_brought_is_an_interruption():
    done = end(INTERRUPTED_IN_C)
    assert (done.returncode, done.stderr) == (130, "tool: interrupted; again\n")


def test_output_that_nobody_reads_at_the_end_has_a_status():
    reading, writing = os.pipe()
    os.close(reading)
    done = end(stdout=writing)
    os.close(writing)
    assert done.returncode == READER_GONE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk")
def test_output_that_finds_no_room_at_the_end_has_a_status():
    with open("/dev/full", "w") as full:
        assert end(stdout=full).returncode == FAILED
