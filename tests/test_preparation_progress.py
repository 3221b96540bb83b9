import fcntl
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path

from data_prep import progress
from data_prep.progress import Progress

ROOT = Path(__file__).resolve().parent.parent
LONG = """
import time
from data_prep import progress
progress.SOON = progress.LINES = 0
with progress.Progress("train") as shown:
    shown.about("bc2gm")
    for _ in range(3):
        time.sleep(0.2)  # a bar is drawn ten times a second at most
        shown.update(1000)
"""


def run(**streams):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    return subprocess.run([sys.executable, "-c", LONG], env=environment, check=True, **streams)


def test_what_is_soon_done_says_nothing(capfd):
    with Progress("train") as shown:
        shown.about("bc2gm")
        shown.update(1000)
    assert capfd.readouterr() == ("", "")


def test_a_pipe_gets_plain_lines():
    lines = run(stderr=subprocess.PIPE, text=True).stderr.splitlines()
    assert [line.partition(" records")[0] for line in lines] == [f"train: bc2gm: {n},000" for n in (1, 2, 3)]


def test_lines_are_seconds_apart(capfd, monkeypatch):
    clock = iter([0.0, 0.0, 5.0, 16.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    shown = Progress("train")
    shown.about("bc2gm")
    for _ in range(3):
        shown.update(1000)
    assert capfd.readouterr().err == "train: bc2gm: 2,000 records, 125 a second\n"


def test_a_terminal_gets_a_bar():
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    run(stderr=slave)
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert "\r" in shown
    assert "train: bc2gm: " in shown
    assert "a second" not in shown
