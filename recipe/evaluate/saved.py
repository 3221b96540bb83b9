"""The files behind an evaluation: the completions that were scored, and what a folder of scores says of them.

    scores = read_scores(Path("scores/grpo"))                   # scores.json, checked against `figures`
    answers = scored_answers(Path("scores/grpo"), scores)       # the rows and completions that the figures are of

A shape says what a scores.json must hold: a type, a list of shapes, or a dictionary with a shape for each key.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from recipe import answers
from recipe.core.entities import DataError
from recipe.core.files import sha256, whole
from recipe.core.garbage import uncollected
from recipe.evaluate.rows import AnsweredSentences, Row, output_of, read_rows, whole_sentences
from recipe.evaluate.scores import PARTS, SentenceScore
from recipe.evaluate.verdict import NAMES, Scoring, scoring_of
from recipe.generate.predictions import FILE as PREDICTIONS
from recipe.generate.predictions import Prediction, check_complete, check_origin, read_predictions

FILE = "scores.json"
EACH = object()  # as a key: whatever the key is, its value has this shape
NUMBER, NULL = (int, float), type(None)
SOURCE = {"source": {"data_sha256": str, "limit": (int, NULL), "predictions": str}}


# ------------------------------------------------------------------------------------------------------ scores.json


def figures(scoring: Scoring) -> Mapping:
    """The shape of what is compared."""
    of_rules = {rule: {"f1": NUMBER} for rule in scoring.rules}
    return {"datasets": {EACH: of_rules}, "macro": dict.fromkeys(scoring.rules, NUMBER), "micro": of_rules}


def scoring_in(scores: object) -> Scoring:
    """How the answers behind a scores.json were scored: by the rules of names, unless it has all those of others."""
    told = scores.get("macro") if isinstance(scores, dict) else None
    rules = set(told) if isinstance(told, dict) else set()
    return next((each for each in map(scoring_of, answers.FORMATS) if set(each.rules) == rules), NAMES)


def read_scores(folder: Path, shape: Mapping | Callable[[Scoring], Mapping] = figures) -> dict:
    """A folder's scores.json. DataError names the first part that is missing or hasn't its shape."""
    try:
        scores = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))
        problem = _problem(scores, shape(scoring_in(scores)) if callable(shape) else shape, "")
    except OSError:
        problem = "no such file"
    except (ValueError, RecursionError):
        problem = "not JSON"
    if problem:
        remedy = f"write it with: python -m recipe.evaluate ... --out {folder}"
        raise DataError(f"{folder}: no scores in it, {FILE}: {problem}; {remedy}")
    return scores


def _problem(value: object, shape: object, where: str) -> str | None:
    """What is wrong first, or None. `where` is the dotted place, for the message."""
    other = f"{where or 'it'} is not what recipe.evaluate writes there"
    if isinstance(shape, list):
        if not isinstance(value, list) or len(value) != len(shape):
            return other
        return next((found for pair in zip(value, shape, strict=True) if (found := _problem(*pair, where))), None)
    if not isinstance(shape, dict):
        finite = not isinstance(value, float) or math.isfinite(value)
        wanted = isinstance(value, shape) and finite and (shape is bool or not isinstance(value, bool))
        return None if wanted else other
    if not isinstance(value, dict):
        return f"{where or 'it'} is not an object"
    if EACH in shape and not value and not where.endswith("types"):
        return f"{where} is empty"
    for key, inner in ((key, shape[EACH]) for key in value) if EACH in shape else shape.items():
        place = f"{where}.{key}" if where else key
        if key not in value:
            return f"no {place} in it"
        if problem := _problem(value[key], inner, place):
            return problem
    return None


def check_settings(first: dict, other: dict, name: object, other_name: object) -> None:
    """DataError unless two scores.json are of as many rows of each dataset, and count the same types."""
    for key in ("limit", "drop_else"):
        one, two = first.get("source", {}).get(key), other.get("source", {}).get(key)
        if one != two:
            raise DataError(f"{other_name}: scored with {key} {two}, {name} with {key} {one}; score both alike")


def same_file(first: dict, other: dict) -> bool:
    """True if two scores.json are of one file of rows."""
    return first.get("source", {}).get("data_sha256") == other.get("source", {}).get("data_sha256")


def data_of(scores: dict) -> str:
    """The file of rows that a scores.json is of, with the head of its digest."""
    source = scores.get("source", {})
    return f"{source.get('data')} (sha256 {str(source.get('data_sha256'))[:12]}...)"


@uncollected()
def write_sentences(path: Path, sentences: Sequence[SentenceScore], scoring: Scoring = NAMES) -> None:
    """Each sentence's own counts and lengths as Parquet, whole or not at all: what recipe.compare tests models with."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, Sequence] = {
        name: [getattr(sentence, name) for sentence in sentences]
        for name in ("index", "dataset", "digest", "unparsable", "reasoning", "answer")
    }
    names = [f"{rule}_{part}" for rule in scoring.rules for part in PARTS]
    counts = np.array([sentence.counts for sentence in sentences], np.float64).reshape(-1, len(names))
    columns |= dict(zip(names, np.ascontiguousarray(counts.T), strict=True))
    with whole(path) as work:
        parquet.write_table(pa.table(columns), work)


# ------------------------------------------------------------------------------------------------------ the answers


def predictions_for(path: Path, rows: Sequence[Row], data: Path, model: Path | None = None) -> dict[int, Prediction]:
    """The predictions in a file, by index. DataError unless there is one for each row, made from `data` (and `model`).

    What they were made from is checked where a manifest says it, and a tool's entities against the rows' sentences.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; name one with a prediction a line")
    check_origin(path, data, model)
    predictions = read_predictions(path)
    check_complete(path, predictions, {row.index for row in rows}, data)
    _check_places(path, rows, predictions)
    return predictions


def _check_places(path: Path, rows: Sequence[Row], predictions: Mapping[int, Prediction]) -> None:
    """DataError with the line of a tool's entities that don't fit the sentence of their row."""
    for row in rows:
        prediction = predictions[row.index]
        if prediction.entities is not None:
            try:
                output_of(row, prediction)
            except DataError as error:
                raise DataError(f"{path}, line {prediction.line}: {error}") from error


def scored_answers(folder: Path, scores: Mapping, data: Path | None = None) -> AnsweredSentences:
    """The sentences that a folder's scores are of, with their completions.

    `scores` have the shape SOURCE. `data` is where the Parquet file is now, if not where it was. DataError if it or the
    predictions are gone, or are others than those that were scored.
    """
    source, again = scores["source"], f"score again with: python -m recipe.evaluate ... --out {folder}"
    data = Path(data or source["data"])
    if not data.is_file():
        raise DataError(f"{data}: no such file, and {folder / FILE} was made from it; name it where it is now")
    other = f"{folder}: scored on other rows than {data}"
    _check_digest(data, source["data_sha256"], other, f"name that file, or {again}")
    saved = Path(source["predictions"])
    if not saved.is_file():
        saved = folder / PREDICTIONS  # the folder may have been moved
    if not saved.is_file():
        raise DataError(f"{source['predictions']}: no such file, nor {saved}; put the predictions back, or {again}")
    if digest := source.get("predictions_sha256"):
        _check_digest(saved, digest, f"{saved}: not the predictions that {folder / FILE} is of", again)
    rows, predictions = read_rows(data, source["limit"]), read_predictions(saved)
    wanted = {row.index for row in rows}
    check_complete(saved, wanted & set(predictions), wanted, data)  # a run without the limit may have made more
    _check_places(saved, rows, predictions)
    return whole_sentences(rows, predictions)


def _check_digest(path: Path, digest: str, problem: str, remedy: str) -> None:
    found = sha256(path)
    if found != digest:
        raise DataError(
            f"{problem}; {path.name}: not the file that was scored (its sha256 is {found[:12]}..., that one's was "
            f"{digest[:12]}...); {remedy}"
        )
