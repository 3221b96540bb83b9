"""The texts that entities are looked for in, read from a file or a pipe and checked before a model loads.

    .txt        a text a line; an empty line is a text without entities, so that line n stays record n
    .jsonl      {"text": "Ada met Bob .", "id": 7, "types": ["person"]}, or "sentence" for "text"; id, types: optional
    .parquet    columns text or sentence, and id and types if there are any; or rows of data_prep/to_parquet.py eval

A pipe is read as JSON Lines if its first line is a JSON object, else as a text a line. The types of a record go before
those of the command line.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.answers.control_tokens import find_control_token
from recipe.core.entities import DataError, has_lone_surrogate, normalize_type
from recipe.core.ground_truth import from_ground_truth
from recipe.corpora.json_files import read_text
from recipe.corpora.records import ignored_types

ENDINGS = (".txt", ".jsonl", ".parquet")


@dataclass(frozen=True, slots=True)
class Record:
    """A text and the types to look for, sorted. `prompt`: what an evaluation row asks, which must not differ."""

    text: str
    types: tuple[str, ...]
    id: object = None
    prompt: str | None = None


def split_types(text: str) -> tuple[str, ...]:
    """`"person, location"` -> `("location", "person")`; DataError for what `check_types` refuses."""
    return check_types(text.split(","), "--types")


def check_types(labels: object, where: str) -> tuple[str, ...]:
    """Types as the model was trained on them, lower-cased and sorted. DataError for a list that can't be asked for."""
    if not isinstance(labels, Sequence) or isinstance(labels, str) or not all(isinstance(x, str) for x in labels):
        raise DataError(f"{where}: types are a list of strings")
    if not labels:
        raise DataError(f"{where}: no types; name at least one")
    seen: set[str] = set()
    for label in map(normalize_type, labels):
        if not label:
            raise DataError(f"{where}: an empty type; take it out")
        if label in seen:
            raise DataError(f"{where}: type {label!r} stands there twice (upper and lower case are one); take one out")
        if label in ignored_types(keep_else=True):
            raise DataError(f"{where}: {label!r} is not a type that can be asked for; take it out")
        if not label.isprintable() or has_lone_surrogate(label):
            raise DataError(f"{where}: type {label!r} holds characters that can't be printed; take them out")
        if token := find_control_token(label):
            raise DataError(f"{where}: type {label!r} holds the control token {token!r}; take it out")
        seen.add(label)
    return tuple(sorted(seen))


def read_records(path: Path | None, types: tuple[str, ...] | None) -> list[Record]:
    """The records of a file, or of standard input for None. DataError names file, record and remedy."""
    name, ending = ("stdin", "") if path is None else (str(path), path.suffix.lower())
    if path is not None and ending not in ENDINGS:
        raise DataError(f"{path}: a file of texts ends with {', '.join(ENDINGS)}; rename or convert it")
    if path is not None and not path.is_file():
        raise DataError(f"{path}: no such file")
    if ending == ".parquet":
        pairs = _parquet(path)
    else:
        text = read_text(path or Path("/dev/stdin"))
        as_json = ending == ".jsonl" or (path is None and _is_object(text.partition("\n")[0]))
        pairs = (_json_lines if as_json else _plain_lines)(text, name)
    records = [_record(value, where, types) for value, where in pairs]
    if not records:
        raise DataError(f"{name}: no text in it; at least one is needed")
    return records


def _plain_lines(text: str, name: str) -> Iterator[tuple[dict, str]]:
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
        yield {"text": line}, f"{name}, line {number}"


def _json_lines(text: str, name: str) -> Iterator[tuple[dict, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip(" \t\r"):
            continue
        where = f"{name}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", None) or type(error).__name__
            raise DataError(f'{where}: not JSON ({reason}); a line is {{"text": "..."}}') from error
        if not isinstance(value, dict):
            raise DataError(f'{where}: not a JSON object; a line is {{"text": "..."}}')
        yield value, where


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _parquet(path: Path) -> Iterator[tuple[dict, str]]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        wanted = ("text", "sentence", "id", "types", "prompt", "reward_model")
        there = [name for name in wanted if name in file.schema_arrow.names]
        if "text" not in there and "sentence" not in there and "reward_model" not in there:
            raise DataError(f"{path}: no column text or sentence, and no evaluation rows; add one")
        for index, row in enumerate(file.read(columns=there).to_pylist()):
            where = f"{path}, row {index}"
            row = {key: value for key, value in row.items() if value is not None}
            yield (_evaluation_row(row, where) if "reward_model" in row else row), where
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a Parquet file that can be read") from error


def _evaluation_row(row: dict, where: str) -> dict:
    try:
        example = from_ground_truth(row["reward_model"]["ground_truth"])
        (message,) = row["prompt"]
        return {"text": example.sentence, "types": list(example.types), "prompt": message["content"]}
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: not a row of data_prep/to_parquet.py eval; write the Parquet file again") from error


def _record(value: dict, where: str, types: tuple[str, ...] | None) -> Record:
    given = [key for key in ("text", "sentence") if key in value]
    if len(given) != 1 or not isinstance(value[given[0]], str):
        what = "both text and sentence" if len(given) == 2 else "no string text or sentence"
        raise DataError(f'{where}: {what} in it; a record needs one, such as {{"text": "Ada met Bob ."}}')
    own = value.get("types")
    if own is None and types is None:
        raise DataError(f"{where}: no types; name them with --types person,location, or in each record")
    if own is not None:
        types = check_types(own, where)
    if not isinstance(value.get("id"), str | int | float | None):
        raise DataError(f"{where}: the id is neither a string nor a number; make it one")
    return Record(value[given[0]], types, value.get("id"), value.get("prompt"))


def piped() -> bool:
    """True where standard input is a pipe or a file."""
    return sys.stdin is not None and not sys.stdin.closed and not sys.stdin.isatty()


def as_records(texts: Iterable[str], types: Iterable[str]) -> list[Record]:
    """Records of texts that share their types, for the Python API."""
    checked = check_types(list(types), "types")
    return [Record(text, checked) for text in texts]
