"""Shares of a file of saved answers: what each holds is read and judged by a process of its own.

Sentences are scored one by one, so it makes no difference who scores which. Reading a line, its row's gold and its
answer takes most of the time, and no process need know what another one has read: only counts come back.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from recipe.answers import one_type
from recipe.core.entities import DataError, Example
from recipe.core.garbage import uncollected
from recipe.core.processes import cores, may_fork, shared_out
from recipe.evaluate.rows import Row, gold_row, output_of, read_gold
from recipe.evaluate.scores import LEAST, SentenceScore, Tallies, joined, summary, tally
from recipe.generate.predictions import check_origin, read_line


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of a file, and what else is told of its rows: `there` has the number of each dataset's sentences.

    `schemas`: rows that together have the datasets and the types that were scored. `questions`: what scores.json says
    of them, where rows ask about single types.
    """

    scores: dict
    sentences: list[SentenceScore]
    there: Counter
    schemas: Sequence[Row]
    questions: dict | None = None


def score_shares(data: Path, predictions: Path, drop_else: bool, least: int = LEAST) -> Scored | None:
    """The scores of the predictions of all rows of `data`, by several processes; lengths are in words.

    None where that can't be done: where there are too few rows or cores, where rows ask about single types, and for
    each fault in the files, which recipe.evaluate.rows and recipe.evaluate.saved name.
    """
    if not may_fork() or cores() < 2:
        return None
    try:
        check_origin(predictions, data)
        gold, lines = read_gold(data), predictions.read_bytes()
    except (DataError, OSError):
        return None
    processes = min(cores(), len(gold) // least)
    if processes < 2:
        return None

    def score_lines(share: tuple[int, int]) -> tuple[Tallies, dict[str, set[str]]]:
        return _score_lines(gold, lines[slice(*share)], drop_else)

    parts = shared_out(score_lines, _cut(lines, processes))
    if parts is None:
        return None
    tallies = joined(tallies for tallies, _ in parts)
    scores, sentences = summary(tallies, "words")
    if not len({sentence.index for sentence in sentences}) == len(sentences) == len(gold):
        return None
    types = {name: {label for _, types in parts for label in types.get(name, ())} for name in tallies}
    return Scored(
        scores,
        sentences,
        Counter({name: len(one.sentences) for name, one in tallies.items()}),
        [Row(0, name, (), Example("", tuple(sorted(of_dataset)))) for name, of_dataset in types.items()],
    )


def _cut(lines: bytes, shares: int) -> list[tuple[int, int]]:
    """The start and end of each share, at a line's start, of about as many bytes as the others."""
    inner = (lines.find(b"\n", len(lines) * number // shares) + 1 or len(lines) for number in range(1, shares))
    return list(pairwise([0, *inner, len(lines)]))


@uncollected()
def _score_lines(gold: Sequence[tuple[str, str]], lines: bytes, drop_else: bool) -> tuple[Tallies, dict[str, set[str]]]:
    """The tallies of the lines, and the types by dataset. ValueError for a line or a row that can't be scored alone."""
    found = (read_line(line.strip(), 0) for line in lines.split(b"\n") if line.strip())
    predictions = sorted(found, key=lambda prediction: prediction.index)
    if predictions and predictions[0].index < 0:
        raise DataError("an index below 0")
    rows = [gold_row(prediction.index, *gold[prediction.index]) for prediction in predictions]
    if any(map(one_type, {row.example.format for row in rows})):
        raise DataError("rows ask about single types")
    types: dict[str, set[str]] = {}
    for row in rows:
        types.setdefault(row.dataset, set()).update(row.example.types)
    return tally(rows, list(map(output_of, rows, predictions)), None, drop_else), types
