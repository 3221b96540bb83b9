"""What a report needs of an evaluation: a scores.json that holds every figure, and the answers it was made from.

The keys that must be there are SHAPE below. The answers are found where scores.json says, and must be the very bytes
that were scored: a report never shows sentences that its figures aren't of.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.core.files import sha256
from recipe.evaluate.disagreements import KINDS
from recipe.evaluate.verdict import KEYED, SCORED_RULES, Verdict, compare

FILE = "scores.json"
LENGTHS = ("reasoning", "answer")

EACH = object()  # as a key: whatever the key is, its value has this shape
_NUMBER, _OPTIONAL = (int, float), type(None)
_PRF = {"precision": _NUMBER, "recall": _NUMBER, "f1": _NUMBER}
_WITH_INTERVAL = {**_PRF, "low": _NUMBER, "high": _NUMBER}
_DATASET = {
    "sentences": int,
    **dict.fromkeys(SCORED_RULES, _WITH_INTERVAL),
    "unparsable": _NUMBER,
    "errors": dict.fromkeys(KINDS, int),
    "types": {EACH: {"gold": int, "predicted": int, **dict.fromkeys(KEYED, _PRF)}},
}
SHAPE = {
    "datasets": {EACH: _DATASET},
    "macro": dict.fromkeys(SCORED_RULES, _NUMBER),
    "macro_interval": dict.fromkeys(SCORED_RULES, list),
    "micro": dict.fromkeys(SCORED_RULES, _WITH_INTERVAL),
    "source": {
        "data": str,
        "data_sha256": str,
        "predictions": str,
        "predictions_sha256": str,
        "model": (str, _OPTIONAL),
        "limit": (int, _OPTIONAL),
        "drop_else": bool,
    },
}


@dataclass(frozen=True, slots=True)
class Scored:
    """One evaluation row: its position in the Parquet file, its dataset, the completion, and what was made of it."""

    index: int
    dataset: str
    output: str
    verdict: Verdict


def read_scores(folder: Path) -> dict:
    """A folder's scores.json, checked against SHAPE. DataError names what is missing."""
    path = Path(folder) / FILE
    remedy = f"write it with: python -m recipe.evaluate ... --out {folder}"
    if not path.is_file():
        raise DataError(f"{path}: no such file; {remedy}")
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON; {remedy}") from error
    if problem := _problem(scores, SHAPE, "") or _lengths_problem(scores) or _interval_problem(scores):
        raise DataError(f"{path}: {problem}; {remedy}")
    return scores


def unit_of(scores: dict) -> str:
    """What lengths are counted in: "tokens" of the model, or "words" where none was named."""
    return "tokens" if all("reasoning_tokens" in dataset for dataset in scores["datasets"].values()) else "words"


def _problem(value: object, shape: object, where: str) -> str | None:
    """What is wrong first, or None. `where` is the dotted place, for the message."""
    if not isinstance(shape, dict):
        finite = not isinstance(value, float) or math.isfinite(value)
        wanted = isinstance(value, shape) and finite and (shape is bool or not isinstance(value, bool))
        return None if wanted else f"{where or 'it'} is not what recipe.evaluate writes there"
    if not isinstance(value, dict):
        return f"{where or 'it'} is not an object"
    if EACH in shape:
        if not value and not where.endswith("types"):
            return f"{where} is empty"
        places = ((key, shape[EACH]) for key in value)
    else:
        places = iter(shape.items())
    for key, inner in places:
        place = f"{where}.{key}" if where else key
        if key not in value:
            return f"no {place} in it"
        if problem := _problem(value[key], inner, place):
            return problem
    return None


def _lengths_problem(scores: dict) -> str | None:
    unit = unit_of(scores)
    for name, dataset in scores["datasets"].items():
        for key in (f"{part}_{unit}{end}" for part in LENGTHS for end in ("", "_p95")):
            if problem := _problem(dataset, {key: _NUMBER}, f"datasets.{name}"):
                return problem
    return None


def _interval_problem(scores: dict) -> str | None:
    for rule, bounds in scores["macro_interval"].items():
        if len(bounds) != 2 or any(_problem(bound, _NUMBER, "bound") for bound in bounds):
            return f"macro_interval.{rule} is not [low, high]"
    return None


# --------------------------------------------------------------------------------------------------- the answers


def read_scored(folder: Path, scores: dict, data: Path | None = None) -> list[Scored]:
    """The rows that were scored and what was answered, judged again, in the order of the Parquet file.

    `data` is where the Parquet file is now, if not where it was. DataError if it or the predictions are gone or have
    changed since, or if judging gives other error counts than scores.json has.
    """
    from tqdm import tqdm

    from recipe.evaluate.rows import read_rows, whole_sentences
    from recipe.generate.predictions import FILE as PREDICTIONS
    from recipe.generate.predictions import check_complete, read_predictions

    source = scores["source"]
    data = Path(data or source["data"])
    again = f"score again with: python -m recipe.evaluate ... --out {folder}"
    if not data.is_file():
        raise DataError(f"{data}: no such file, and {folder / FILE} was made from it; give its place with --data")
    _check_digest(data, source["data_sha256"], f"name that file with --data, or {again}")
    saved = Path(source["predictions"])
    if not saved.is_file():
        saved = folder / PREDICTIONS
    if not saved.is_file():
        raise DataError(f"{source['predictions']}: no such file, nor {saved}; put the predictions back, or {again}")
    _check_digest(saved, source["predictions_sha256"], again)
    rows, predictions = read_rows(data, source["limit"]), read_predictions(saved)
    wanted = {row.index for row in rows}
    check_complete(saved, wanted & set(predictions), wanted, data)
    scored = []
    whole = whole_sentences(rows, [predictions[row.index].output for row in rows])
    for row, output in zip(tqdm(whole.rows, desc="answers", unit="row", leave=False), whole.outputs, strict=True):
        scored.append(Scored(row.index, row.dataset, output, compare(row.example, output, source["drop_else"])))
    _check_counts(folder, scores, scored, again)
    return scored


def _check_digest(path: Path, digest: str, remedy: str) -> None:
    found = sha256(path)
    if found != digest:
        raise DataError(
            f"{path}: not the file that was scored (its sha256 is {found[:12]}..., that one's was "
            f"{digest[:12]}...); {remedy}"
        )


def _check_counts(folder: Path, scores: dict, scored: Sequence[Scored], again: str) -> None:
    rows = Counter(row.dataset for row in scored)
    found = Counter((row.dataset, one.kind) for row in scored for one in row.verdict.disagreements)
    for name in {**dict.fromkeys(scores["datasets"]), **rows}:
        told = scores["datasets"].get(name, {"sentences": 0, "errors": {}})
        if told["sentences"] != rows[name] or any(told["errors"].get(kind, 0) != found[name, kind] for kind in KINDS):
            raise DataError(
                f"{folder / FILE}: its figures of {name} are not those of these answers, so it was edited or written "
                f"by another version; {again}"
            )
