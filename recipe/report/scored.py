"""What a report needs of an evaluation: a scores.json that holds every figure, and the answers it was made from.

`shape` has the keys that must be there. The answers are found where scores.json says, and must be the very bytes
that were scored: a report never shows sentences that its figures aren't of.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.evaluate.saved import EACH, FILE, NULL, NUMBER, read_scores, scored_answers
from recipe.evaluate.verdict import Output, Scoring, Verdict, compare

LENGTHS = ("reasoning", "answer")

_PRF = {"precision": NUMBER, "recall": NUMBER, "f1": NUMBER}
_WITH_INTERVAL = {**_PRF, "low": NUMBER, "high": NUMBER}
_SOURCE = {
    "data": str,
    "data_sha256": str,
    "predictions": str,
    "predictions_sha256": str,
    "model": (str, NULL),
    "limit": (int, NULL),
    "drop_else": bool,
}


def shape(scoring: Scoring) -> dict:
    """The shape of what a report shows of a scores.json."""
    dataset = {
        "sentences": int,
        **dict.fromkeys(scoring.rules, _WITH_INTERVAL),
        "unparsable": NUMBER,
        "errors": dict.fromkeys(scoring.kinds, int),
        "types": {EACH: {"gold": int, "predicted": int, **dict.fromkeys(scoring.keyed, _PRF)}},
    }
    return {
        "datasets": {EACH: dataset},
        "macro": dict.fromkeys(scoring.rules, NUMBER),
        "macro_interval": {rule: [NUMBER, NUMBER] for rule in scoring.rules},
        "micro": dict.fromkeys(scoring.rules, _WITH_INTERVAL),
        "source": _SOURCE,
    }


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One evaluation row: its position in the Parquet file, its dataset, the output, and what was made of it."""

    index: int
    dataset: str
    output: Output
    verdict: Verdict


def read_figures(folder: Path) -> dict:
    """A folder's scores.json, checked against `shape` and for the lengths. DataError names what is missing."""
    unit = unit_of(read_scores(folder, shape))
    lengths = (f"{part}_{unit}{end}" for part in LENGTHS for end in ("", "_p95"))
    return read_scores(folder, {"datasets": {EACH: dict.fromkeys(lengths, NUMBER)}})


def unit_of(scores: dict) -> str:
    """What lengths are counted in: "tokens" of the model, or "words" where none was named."""
    return "tokens" if all("reasoning_tokens" in dataset for dataset in scores["datasets"].values()) else "words"


# --------------------------------------------------------------------------------------------------- the answers


def read_scored(folder: Path, scores: dict, data: Path | None = None) -> list[ScoredRow]:
    """The rows that were scored and their answers, compared again, in the order of the Parquet file.

    `data` is where the Parquet file is now, if not where it was. DataError if it or the predictions are gone or have
    changed since, or if other disagreements are found than scores.json counts.
    """
    from tqdm import tqdm

    whole, drop_else = scored_answers(folder, scores, data), scores["source"]["drop_else"]
    pairs = zip(tqdm(whole.rows, desc="answers", unit="row", leave=False, disable=None), whole.outputs, strict=True)
    scored = [ScoredRow(row.index, row.dataset, text, compare(row.example, text, drop_else)) for row, text in pairs]
    _check_counts(folder, scores, scored)
    return scored


def _check_counts(folder: Path, scores: dict, scored: Sequence[ScoredRow]) -> None:
    rows = Counter(row.dataset for row in scored)
    found = Counter((row.dataset, one.kind) for row in scored for one in row.verdict.disagreements)
    for name in {**dict.fromkeys(scores["datasets"]), **rows}:
        told = scores["datasets"].get(name, {"sentences": 0, "errors": {}})
        if told["sentences"] != rows[name] or told["errors"] != {k: found[name, k] for k in told["errors"]}:
            raise DataError(
                f"{folder / FILE}: its figures of {name} are not those of these answers, so it was edited or written "
                f"by another version; score again with: python -m recipe.evaluate ... --out {folder}"
            )
