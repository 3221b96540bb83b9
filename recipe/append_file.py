"""A file that grows line by line: one writer at a time, and nothing lost but the line that a kill cut short."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from recipe.entities import DataError


@contextlib.contextmanager
def append_to(path: Path, remedy: str) -> Iterator[BinaryIO]:
    """The file, locked, made if need be, at its end and after a newline. DataError if another process writes it."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"{path}: another process is writing it; wait for it, or {remedy}") from error
        _drop_half_line(file)
        yield file


def _drop_half_line(file: BinaryIO) -> None:
    """Cut the file after its last newline, and stand at its end."""
    file.seek(0)
    end = 0
    for line in file:
        end += len(line) if line.endswith(b"\n") else 0
    file.truncate(end)
    file.seek(0, os.SEEK_END)
