"""How files are written: whole or not at all, or line by line with nothing lost but the line that a kill cut short.

And how they are read and compared: a model folder's JSON, the digests of a file and of a model's folder.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from recipe.core.entities import DataError


@contextlib.contextmanager
def locked(path: Path, taken: str) -> Iterator[BinaryIO]:
    """The file, made if need be, at its end and locked; a file system without locks gives it all the same.

    DataError with the message `taken` if another process holds it.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(taken) from None
        except OSError:
            pass
        yield file


@contextlib.contextmanager
def append_to(path: Path, remedy: str) -> Iterator[BinaryIO]:
    """The file, locked, at its end and after a newline. DataError if another process writes it."""
    with locked(path, f"{path}: another process is writing it; wait for it, or {remedy}") as file:
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


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place when the block ends, and vanishes when it fails."""
    work = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield work
        os.replace(work, path)
    finally:
        work.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole(path) as work:
        work.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write an indented JSON file, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a model folder, {} without the file. DataError for anything else in it."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); copy the file from the base model again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: a JSON object is expected; copy the file from the base model again")
    return value


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(folder: Path) -> str:
    """Hex digest that changes when a model changes: its small files whole, the ends of the weight files."""
    digest = hashlib.sha256()
    patterns = ("*.json", "*.jinja", "*.safetensors", "*.bin")
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 24))
            file.seek(max(0, size - (1 << 24)))
            digest.update(file.read())
    return digest.hexdigest()


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place when the block ends, and vanishes when it fails."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    work, old = (out.with_name(f".{out.name}.{os.getpid()}.{suffix}") for suffix in ("new", "old"))
    work.mkdir()
    try:
        yield work
        if out.exists():
            out.rename(old)
        work.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
