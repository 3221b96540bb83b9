"""The files of the steps: one line a row, appended as results arrive, never changed.

WORK/annotate.jsonl, validate.jsonl, judge.jsonl hold an object a line, each with the `id` of its row and a `status`:
    {"id": "9f2c51d07a3be846", "status": "kept", ...}

Beside each lies WORK/<step>.manifest.json: the settings that its results depend on. Other settings are refused, so that
a file never mixes two teachers. An id is there once; a step that starts again passes over the ids that it has.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.core.files import append_to, whole
from recipe.generate.predictions import check_manifest

ANNOTATE, VALIDATE, JUDGE = "annotate", "validate", "judge"


@dataclass(frozen=True, slots=True)
class Store:
    """A step's file, open for writing. `done`: the ids it holds; `add` puts one more record on disk."""

    done: set[str]
    add: Callable[[Mapping[str, object]], None]


def path_of(work: Path, step: str) -> Path:
    """The file of a step."""
    return Path(work) / f"{step}.jsonl"


@contextlib.contextmanager
def open_store(work: Path, step: str, settings: Mapping[str, object]) -> Iterator[Store]:
    """Open a step's file to go on with it.

    DataError if another process is writing it, if it was made with other `settings`, or if a line in it can't be read.
    """
    path = path_of(work, step)
    with append_to(path, "give another --work") as file:
        check_manifest(path, settings, {}, started=file.tell() > 0, elsewhere="give another --work")
        done = {str(record["id"]) for record in read(work, step)}

        def add(record: Mapping[str, object]) -> None:
            if record["id"] in done:
                raise ValueError(f"{path}: id {record['id']} a second time")
            file.write(_line(record))
            file.flush()
            done.add(str(record["id"]))

        yield Store(done, add)


def drop(work: Path, step: str, unwanted: Callable[[Mapping[str, object]], bool]) -> int:
    """Take the unwanted records out of a step's file, so that its rows are dealt with again; how many there were.

    The file is written anew beside the old one, so a kill leaves one of the two. A file that isn't there has none.
    """
    path = path_of(work, step)
    if not path.is_file() or not any(unwanted(record) for record in read(work, step)):
        return 0
    dropped = 0
    with append_to(path, "give another --work"), whole(path) as anew, anew.open("wb") as file:
        for record in read(work, step):
            if unwanted(record):
                dropped += 1
            else:
                file.write(_line(record))
    return dropped


def _line(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def read(work: Path, step: str) -> Iterator[dict]:
    """The records of a step, in the order in which they arrived; one at a time, so memory does not grow with them.

    A last line that a kill cut short is passed over. DataError for a step that wasn't run, or a line that is no record.
    """
    path = path_of(work, step)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path}: not there; run `python -m recipe.cot {step}` with this --work first") from None
    with file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                record = json.loads(line)
                record["id"], record["status"]
            except (ValueError, RecursionError, KeyError, TypeError) as error:
                raise DataError(
                    f"{path}, line {number}: no record with an id and a status; restore the file"
                ) from error
            yield record


def read_if_there(work: Path, step: str) -> Iterator[dict]:
    """The records of a step as `read` gives them; none for a step that wasn't run."""
    if path_of(work, step).exists():
        yield from read(work, step)
