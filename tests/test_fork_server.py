"""A process that is forked from the server is the Python process that was asked for."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from recipe.train.fork_server import serving

MODULES = ("fractions",)  # what the server imports here; a plain Python doesn't


@pytest.fixture(scope="module")
def python():
    with serving(MODULES) as command:
        yield command


def run(*line, **options):
    return subprocess.run(line, capture_output=True, text=True, **options)


def test_what_the_server_imported_is_there(python):
    code = "import sys; print('fractions' in sys.modules)"
    assert run(python, "-c", code).stdout == "True\n"
    assert run(sys.executable, "-c", code).stdout == "False\n"


SHOWN = """
import json, os, sys
print(json.dumps([__name__, sys.argv[1:], sys.path[0], os.getcwd(), os.environ.get("NER_X"), sys.stdin.read()]))
"""


@pytest.mark.parametrize("way", ["code", "module", "script", "options before"])
def test_it_is_what_plain_python_is(way, python, tmp_path):
    (tmp_path / "shown.py").write_text(SHOWN)
    line = {
        "code": ["-c", SHOWN],
        "module": ["-m", "shown"],
        "script": [str(tmp_path / "shown.py")],
        "options before": ["-u", "-W", "ignore", "-X", "faulthandler", str(tmp_path / "shown.py")],
    }[way]
    options = {"cwd": tmp_path, "env": {**os.environ, "NER_X": "é"}, "input": "given"}
    forked, plain = (run(command, *line, "a b", "-c", **options) for command in (python, sys.executable))
    assert json.loads(forked.stdout) == json.loads(plain.stdout)
    assert (forked.returncode, forked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import sys; sys.exit(3)", 3),
        ("import sys; sys.exit()", 0),
        ("import sys; sys.exit('why')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL),
    ],
)
def test_it_ends_with_the_status_of_what_was_forked(code, status, python):
    assert run(python, "-c", code).returncode == status


def test_what_goes_wrong_is_said(python):
    assert run(python, "-c", "1 / 0").stderr.endswith("ZeroDivisionError: division by zero\n")
    assert run(python, "-c", "import sys; sys.exit('why')").stderr == "why\n"


def test_what_is_to_be_done_at_the_end_is_done(python):
    code = "import atexit, threading, time; atexit.register(print, 'end'); print('begin', end=' ')"
    later = "\nthreading.Thread(target=lambda: (time.sleep(0.2), print('thread', end=' '))).start()"
    assert run(python, "-c", code + later).stdout == "begin thread end\n"


WAITS = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def started(python):
    process = subprocess.Popen([python, "-c", WAITS], stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


def gone(process, seconds=10):
    deadline = time.monotonic() + seconds
    while os.path.exists(f"/proc/{process}") and time.monotonic() < deadline:
        time.sleep(0.02)
    return not os.path.exists(f"/proc/{process}")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_to_the_command_ends_the_forked_process(how, python):
    command, forked = started(python)
    with command:
        command.send_signal(how)
        assert gone(forked)
        # It may come before the command passes signals on, and then ends both. A shell says 143 of either.
        assert command.wait(10) in ((-how,) if how == signal.SIGKILL else (-how, 128 + how))


def test_a_handler_of_the_forked_process_is_asked(python):
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); print(1, flush=True)"
    with subprocess.Popen([python, "-c", f"{code}; time.sleep(60)"], stdout=subprocess.PIPE) as command:
        command.stdout.readline()
        command.terminate()
        assert command.wait(10) == 5


def test_who_reads_what_it_writes_sees_its_end(python):
    command, forked = started(python)
    with command:
        os.kill(forked, signal.SIGKILL)
        assert command.stdout.read() == ""


def test_multiprocessing_forks_there_too(python, tmp_path):
    (tmp_path / "several.py").write_text(
        "import multiprocessing, sys\n"
        "def one(queue): queue.put('fractions' in sys.modules)\n"
        "if __name__ == '__main__':\n"
        "    spawn = multiprocessing.get_context('spawn')\n"
        "    queue = spawn.Queue()\n"
        "    process = spawn.Process(target=one, args=(queue,))\n"
        "    process.start()\n"
        "    print(queue.get(), process.join(), process.exitcode)\n"
    )
    assert run(python, str(tmp_path / "several.py")).stdout == "True None 0\n"


def test_several_at_once_have_their_own_pipes(python):
    code = "import sys, time; time.sleep(0.2); print(sys.argv[1])"
    running = [subprocess.Popen([python, "-c", code, str(n)], stdout=subprocess.PIPE, text=True) for n in range(5)]
    assert [process.communicate() for process in running] == [(f"{n}\n", None) for n in range(5)]


def test_without_a_server_the_command_is_plain_python():
    code = "import sys; print('fractions' in sys.modules, *sys.argv[1:])"
    with serving(("no_such_module",)) as python:
        assert run(python, "-c", code, "a").stdout == "False a\n"


def test_the_end_of_the_server_is_that_of_what_it_forked():
    with serving(MODULES) as python:
        command, forked = started(python)
    with command:
        assert gone(forked)


def test_a_signal_to_the_group_that_started_it_does_not_reach_it(tmp_path):
    code = (
        "import os, signal, subprocess\n"
        "from recipe.train.fork_server import serving\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "with serving(('fractions',)) as python:\n"
        "    subprocess.run([python, '-c', ''])\n"
        "    os.killpg(0, signal.SIGTERM)\n"
        "    code = \"import sys; print('fractions' in sys.modules)\"\n"
        "    print(subprocess.run([python, '-c', code], capture_output=True, text=True).stdout)\n"
    )
    assert run(sys.executable, "-c", code, start_new_session=True).stdout.strip() == "True"


def test_where_the_temporary_folder_cannot_hold_it_there_is_none(tmp_path, monkeypatch):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with serving(MODULES) as python:  # a socket's path has 107 bytes at most
        assert python is None
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(os, "access", lambda *_: False)  # as on a mount with noexec
    with serving(MODULES) as python:
        assert python is None
    assert not list(folder.iterdir())
