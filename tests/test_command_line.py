"""How every command ends."""

import subprocess
import sys

import pytest

from recipe.core.command_line import exit_status
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
