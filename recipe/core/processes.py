"""Work that is shared out among processes: this one and forks of it, which have what it has read."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

Part, Result = TypeVar("Part"), TypeVar("Result")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def may_fork() -> bool:
    """True where a fork has all that this process has: no other thread holds a lock in it, and torch has no threads."""
    return sys.platform == "linux" and threading.active_count() == 1 and "torch" not in sys.modules


def shared_out(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result] | None:
    """What `work` returns for each part, in the parts' order: the first is done here, each other one by a fork.

    None where one fails or its process dies: who does all of it here then meets what is wrong. No process outlives the
    call, whatever ends it. `may_fork` must hold.
    """
    import multiprocessing

    context = multiprocessing.get_context("fork")
    with contextlib.ExitStack() as stack:
        results = []
        for part in parts[1:]:
            receiving, sending = context.Pipe(duplex=False)
            process = context.Process(target=_send, args=(work, part, receiving, sending), daemon=True)
            process.start()
            sending.close()
            stack.callback(_end, process, receiving)
            results.append(receiving)
        try:
            return [*map(work, parts[:1]), *(each.recv() for each in results)]
        except Exception:  # EOFError of a process that sent nothing, and whatever the first part raises
            return None


def _send(work: Callable[[Part], Result], part: Part, receiving: Connection, sending: Connection) -> None:
    receiving.close()  # or this process would wait for itself to read, if the other one is killed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one, which ends it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(Exception):
        sending.send(work(part))


def _end(process: BaseProcess, receiving: Connection) -> None:
    receiving.close()
    process.kill()
    process.join()
