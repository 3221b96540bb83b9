"""The files of the steps: one line a row, appended as results arrive, never changed.

WORK/annotate.jsonl, validate.jsonl, judge.jsonl hold an object a line, each with the `id` of its row and a `status`:
    {"id": "9f2c51d07a3be846", "status": "kept", ...}

Beside each lies WORK/<step>.manifest.json: the settings that its results depend on. Other settings are refused, so that
a file never mixes two teachers. An id is there once; a step that starts again passes over the ids that it has.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from recipe.core.entities import DEFAULT_FORMAT, DataError
from recipe.core.files import append_to, whole
from recipe.generate.predictions import check_manifest, manifest_of

ANNOTATE, VALIDATE, JUDGE = "annotate", "validate", "judge"
KEPT, REJECTED, FAILED = "kept", "rejected", "failed"
_ELSEWHERE = "give another --work"


def path_of(work: Path, step: str) -> Path:
    """The file of a step."""
    return Path(work) / f"{step}.jsonl"


@contextlib.contextmanager
def open_store(
    work: Path, step: str, settings: Mapping[str, object]
) -> Iterator[tuple[set[str], Callable[[Mapping[str, object]], None]]]:
    """Open a step's file to go on with it: the ids it holds, and a function that puts one more record on disk.

    DataError if another process is writing it, if it was made with other `settings`, or if a line in it can't be read.
    """
    path = path_of(work, step)
    with append_to(path, _ELSEWHERE) as file:
        check_manifest(path, settings, {}, started=file.tell() > 0, elsewhere=_ELSEWHERE)
        done = read_ids(work, step)

        def add(record: Mapping[str, object]) -> None:
            if record["id"] in done:
                raise ValueError(f"{path}: id {record['id']} a second time")
            file.write(_line(record))
            file.flush()
            done.add(str(record["id"]))

        yield done, add


def drop_failed(work: Path, step: str) -> None:
    """Take failed records out of a step's file, so that their rows are asked about again.

    The file is written anew beside the old one, so a kill leaves one of the two.
    """
    path = path_of(work, step)
    if not path.is_file() or all(record["status"] != FAILED for record in read(work, step)):
        return
    with append_to(path, _ELSEWHERE), whole(path) as anew, anew.open("wb") as file:
        file.writelines(_line(record) for record in read(work, step) if record["status"] != FAILED)


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


def read_kept(work: Path, step: str) -> Iterator[dict]:
    """The records of a step whose rows were kept."""
    return (record for record in read(work, step) if record["status"] == KEPT)


def read_ids(work: Path, step: str) -> set[str]:
    """The ids of a step's records; none for a step that wasn't run."""
    return {str(record["id"]) for record in read(work, step)} if path_of(work, step).exists() else set()


def answer_format(work: Path) -> str:
    """The answer format that the rows of a folder were annotated in."""
    return (read_settings(work, ANNOTATE) or {}).get("answer_format", DEFAULT_FORMAT)


def read_settings(work: Path, step: str) -> dict | None:
    """The settings that a step's results were made with; None for a step that wasn't run."""
    try:
        return json.loads(manifest_of(path_of(work, step)).read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError):
        return None
