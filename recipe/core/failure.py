"""Why a run failed, found in what its processes printed.

    cause      KeyError: 'no such row'
               in compute_score, reward_fns/mine.py, line 8 (RewardLoopWorker pid=9241)
    log        outputs/grpo_tiny/log.txt, line 1322

What stands at the end of a log is seldom the cause: Ray, torchrun and vLLM wrap it, and verl's trainer stumbles over
what a worker didn't bring. So what a worker raised first, after the last step that went well, counts before what the
trainer raised last; and that a process was killed, which raises nothing in it, before both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_READ = 32 << 20  # bytes of the log's end that are looked at
_WIDTH = 200  # characters of a message
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# `(WorkerDict pid=9301, ip=10.0.0.2) ` of Ray and of vLLM, `[rank0]: ` of PyTorch.
_PROCESS = re.compile(r"\((\w[\w.:<>]*)(?: pid=(\d+))?(?:, ip=[\w.:\[\]]+)?\) ?|\[(rank\d+)\]: ?")
# `ERROR 11-27 04:26:09 [core.py:34] ` of vLLM.
_LEVEL = re.compile(r"(?:ERROR|CRITICAL|WARNING|INFO) \d\d-\d\d \d\d:\d\d:\d\d \[[^]]*\] ?")
_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'\s*File "([^"]+)", line (\d+), in (\S+)')
_RAISED = re.compile(r"((?:\w+\.)*\w+)(?:\((?:\w+)\))?(?:: ?(.*))?$")
# Of pydantic a line that says nothing, then perhaps the field's name, then what is wrong with it.
_INVALID = re.compile(r"\d+ validation errors? for \w+$")
_WRONG = re.compile(r"\s+(.+?) \[type=")
_ACTOR = re.compile(r"ray::(\w+)[^ ]*\(\) \(pid=(\d+)")
_STEP = re.compile(r"(?:.*\s)?step:\d+ - ")  # of verl's console logger
_HYDRAS = re.compile(r"(\w*(?:Error|Exception))\((['\"].*)\)$")  # without HYDRA_FULL_ERROR=1 it shows this alone
_KILLED = re.compile(r"exitcode\s*: -(\d+) \(pid: (\d+)\)")
_SIGNALS = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 9: "SIGKILL", 11: "SIGSEGV"}

# By how little they say: exceptions that tell of another one, and those of a process that is being ended.
_WRAPPERS = (
    *("ChildFailedError", "RayTaskError", "ActorDiedError", "ActorUnavailableError", "WorkerCrashedError"),
    *("RendezvousConnectionError", "EngineDeadError", "InstantiationException", "ProcessRaisedException"),
)
_WRAPPING = ("Engine core initialization failed", "root cause above")
_ENDING = ("CancelledError", "BrokenPipeError", "ConnectionResetError", "EOFError", "KeyboardInterrupt", "SystemExit")


@dataclass(frozen=True, slots=True)
class Cause:
    """What was raised, or happened, and where: `line` of the log, from 1; 0 where none is known."""

    what: str
    where: str
    line: int

    def lines(self, log: Path) -> list[str]:
        """Two lines or three for people; the last names the log."""
        at = f", line {self.line}" if self.line else ""
        where = [f"           {self.where}"] if self.where else []
        return [f"cause      {self.what}", *where, f"log        {log}{at}"]


@dataclass(slots=True)
class _Raised:
    process: str
    name: str
    message: str
    frame: str
    line: int

    @property
    def rank(self) -> int:
        """0 for a cause, 1 for what an end brings with it, 2 for what wraps another."""
        short = self.name.rpartition(".")[2]
        if short in _WRAPPERS or any(text in self.message for text in _WRAPPING):
            return 2
        return int(short in _ENDING)

    def cause(self) -> Cause:
        what = f"{self.name.removeprefix('builtins.')}: {self.message}".removesuffix(": ")
        said_by = f"({self.process})" if self.process else ""
        return Cause(_cut(what), f"{self.frame} {said_by}".strip(), self.line)

    @property
    def of_worker(self) -> bool:
        """Whether another process than the trainer raised it."""
        return bool(self.process) and not self.process.startswith("TaskRunner")


def find_cause(log: Path, start: int = 0) -> Cause | None:
    """The cause in what was written to the log from byte `start` on; None for an empty log."""
    lines = list(_read(log, start))
    if killed := _killed_rank(lines):
        return killed
    well = max((number for number, _, text in lines if _STEP.match(text)), default=0)
    raised = [one for one in _exceptions(lines) if one.line > well]
    telling = [one for one in raised if one.rank == 0]
    of_workers = [one for one in telling if one.of_worker]
    ending = [one for one in raised if one.rank == 1]
    if best := of_workers[:1] or telling[-1:] or ending[-1:]:
        return best[0].cause()
    if killed := _killed_actor(lines):
        return killed
    return raised[-1].cause() if raised else last_words(log, start)


def last_words(log: Path, start: int = 0) -> Cause | None:
    """The last line that was printed, and by which process; None for an empty log."""
    for number, process, text in reversed(list(_read(log, start))):
        if text.strip():
            said_by = f"by {process}" if process else ""
            return Cause(f"last printed: {_cut(text.strip(), 100)}", said_by, number)
    return None


def _read(log: Path, start: int) -> Iterator[tuple[int, str, str]]:
    """Number in the file, process ("" for the command itself) and text of each line."""
    try:
        with log.open("rb") as file:
            first = max(start, file.seek(0, os.SEEK_END) - _READ)
            file.seek(0)
            first_line = 1
            while (left := first - file.tell()) > 0:
                first_line += file.read(min(left, 1 << 20)).count(b"\n")
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return
    for number, raw in enumerate(text.split("\n"), start=first_line):
        process, line = _split(_ESCAPES.sub("", raw).rstrip("\r"))
        later, line = _split(line.rpartition("\r")[2])  # of a bar what was written last
        yield number, later or process, line


def _split(line: str) -> tuple[str, str]:
    """A line without the names of process and place before it, and the innermost process."""
    process = ""
    while found := _PROCESS.match(line) or _LEVEL.match(line):
        if found.re is _PROCESS:
            name, pid, rank = found.groups()
            process = rank or (f"{name} pid={pid}" if pid else name)
        line = line[found.end() :]
    return process, line


def _exceptions(lines: list[tuple[int, str, str]]) -> Iterator[_Raised]:
    """What was raised with a traceback, each process's lines for themselves, as they may be mixed."""
    frames: dict[str, str] = {}  # of each process within a traceback its last frame
    actors: dict[str, str] = {}  # and whose traceback it passes on
    for at, (number, process, text) in enumerate(lines):
        if text.startswith(_TRACEBACK):
            frames[process] = ""
        elif found := _FRAME.match(text):
            if process in frames:
                frames[process] = f"in {found[3]}, {_short(found[1])}, line {found[2]}"
        elif found := _HYDRAS.match(text):
            yield _Raised(process, found[1], found[2].strip("'\""), "", number)
        elif process in frames and text and not text[0].isspace() and (found := _RAISED.match(text)):
            message = (found[2] or "").strip()
            if _INVALID.match(message):
                message = f"{message}: {_invalid(said for _, by, said in lines[at + 1 : at + 9] if by == process)}"
            yield _Raised(actors.pop(process, process), found[1], message, frames.pop(process), number)
            if actor := _ACTOR.match(message):  # the frames of the worker follow, and what it raised
                frames[process], actors[process] = "", f"{actor[1]} pid={actor[2]}"


def _invalid(lines: Iterator[str]) -> str:
    """What pydantic finds wrong first, and of which field, in the lines after the one that names the class."""
    field = ""
    for line in lines:
        if found := _WRONG.match(line):
            return f"{field} {found[1]}".strip()
        field = line.strip()
    return field


def _killed_rank(lines: list[tuple[int, str, str]]) -> Cause | None:
    """The rank that torchrun saw end first, if a signal ended it."""
    for at, (_, _, text) in enumerate(lines):
        if text.startswith("Root Cause (first observed failure)"):
            for number, _, said in lines[at : at + 8]:
                if (found := _KILLED.match(said.strip())) and int(found[1]) in _SIGNALS:
                    signal = int(found[1])
                    return Cause(
                        f"a rank (pid {found[2]}) was ended by {_SIGNALS[signal]}{_memory(signal)}", "", number
                    )
    return None


def _killed_actor(lines: list[tuple[int, str, str]]) -> Cause | None:
    """The last process that Ray missed."""
    found = None
    for at, (number, _, text) in enumerate(lines):
        if "ActorDiedError" not in text and "WorkerCrashedError" not in text:
            continue
        said = " ".join(line.strip() for _, _, line in lines[at : at + 12])
        name, pid = re.search(r"class_name: (\S+)", said), re.search(r"\bpid: (\d+)", said)
        who = (name[1].rpartition(".")[2] if name else "a worker") + (f" (pid {pid[1]})" if pid else "")
        if "SYSTEM_ERROR" in said or "unexpected" in said:
            found = Cause(f"{who} was killed or crashed{_memory(9)}", "", number)
    return found


def _memory(signal: int) -> str:
    return ", as the system does where memory runs out (`dmesg` says so)" if signal == 9 else ""


def _short(path: str) -> str:
    """From the current folder or from site-packages on."""
    _, _, package = path.rpartition("/site-packages/")
    return package.removeprefix(f"{os.getcwd()}/")


def _cut(text: str, width: int = _WIDTH) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
