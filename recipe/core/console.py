"""Whose lines go where: what libraries print goes to a log, what a command says to the terminal."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from recipe.core.command_line import Failed, verbose
from recipe.core.entities import DataError
from recipe.core.failure import find_cause

_kept: TextIO | None = None


def terminal() -> TextIO:
    """Where a command speaks to people: standard error as it was before any `logged`."""
    return _kept or sys.stderr


@contextlib.contextmanager
def sent(to: int, *descriptors: int) -> Iterator[list[int]]:
    """Have what is written to these descriptors go to the descriptor `to`, by C code and child processes too.

    Yields a copy of each as it was.
    """
    _flush()
    kept = [os.dup(descriptor) for descriptor in descriptors]
    try:
        for descriptor in descriptors:
            os.dup2(to, descriptor)
        yield kept
    finally:
        _flush()
        for copy, descriptor in zip(kept, descriptors, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    ctypes.CDLL(None).fflush(None)  # what C code printed and still holds back


@contextlib.contextmanager
def logged(log: Path | None) -> Iterator[None]:
    """Have all that this process prints go to the end of `log`, but for what is written to `terminal()`.

    Failed, with the last cause, for an exception that isn't about the input; the log then has its traceback. Nothing
    of all that without a log, or with NER_VERBOSE=1.
    """
    if log is None or verbose():
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        begins = file.tell()
        file.write(f"$ {shlex.join(sys.orig_argv)}\n".encode("utf-8", "replace"))
        file.flush()
        try:
            with sent(file.fileno(), 1, 2) as (_, errors), _speaking(errors):
                yield
        except (DataError, OSError):
            raise
        except Exception as error:
            file.write("".join(traceback.format_exception(error)).encode("utf-8", "replace"))
            file.flush()
            raise Failed(find_cause(log, begins).lines(log)) from error


@contextlib.contextmanager
def _speaking(descriptor: int) -> Iterator[None]:
    """Have `terminal()` be this descriptor, where standard error is one and nobody speaks already."""
    global _kept
    if _kept or not _has_descriptor(sys.stderr):
        yield
        return
    with open(descriptor, "w", encoding=sys.stderr.encoding, errors="backslashreplace", closefd=False) as stream:
        _kept = stream
        try:
            yield
        finally:
            _kept = None


def _has_descriptor(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, ValueError):  # it is text in memory, or closed
        return False
