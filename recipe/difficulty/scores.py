"""What the samples of a row say of it: how well they are answered, how much they differ, what they can teach.

    Difficulty(index=7, dataset="bc5cdr", f1=(1.0, 0.0, 0.5, 0.5), unreadable=1, silent=0, cut=1, gold_empty=False)
    .mean 0.5, .spread 0.354 (the standard deviation), .flat None

GRPO compares the answers of a group with each other. Where all are worth the same, the row is flat, and teaches nothing
about F1. Parts of a reward that pay for other things may still differ there.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe import answers
from recipe.core.entities import Answer, DataError, Example
from recipe.evaluate.rows import Row
from recipe.generate.samples import FILE, Sample, read_samples

FLAT = ("flat at 0", "flat at 1", "flat between")
NARROW, SOLVED = "spread too small", "mean too high"
DROPPED = (*FLAT, NARROW, SOLVED)


@dataclass(frozen=True, slots=True)
class Scored:
    """A sample, what it says, and its span F1: 0 for an answer that can't be read."""

    sample: Sample
    answer: Answer
    f1: float


def score(sample: Sample, example: Example, matching: str | None = None) -> Scored:
    """The sample under a rule of recipe.core.metrics, None for the usual one of its row.

    Empty against empty is 1, as in reward and evaluation.
    """
    answer = answers.parse(sample.output, example)
    return Scored(sample, answer, answers.count(answer, example, matching).f1 if answer.parsed else 0.0)


def scored(
    folder: Path, rows: Sequence[Row], samples: int, matching: str | None = None
) -> Iterator[tuple[Row, Scored]]:
    """The first `samples` of each row in the folder's file, in the file's order, each scored as it is read.

    DataError, once all are read, where some are missing.
    """
    from tqdm import tqdm

    by_index = {row.index: row for row in rows}
    missing = {(index, number) for index in by_index for number in range(samples)}
    total = len(missing)
    with tqdm(total=total, desc="scores", unit="answer", leave=False, disable=None) as shown:
        for sample in read_samples(folder / FILE):
            if sample.key in missing:
                missing.remove(sample.key)
                shown.update()
                row = by_index[sample.index]
                yield row, score(sample, row.example, matching)
    if missing:
        told = f"{len(missing):,} of {total:,} samples are missing; make them: python -m recipe.difficulty"
        raise DataError(f"{folder / FILE}: {told} ... --out {folder}")


@dataclass(frozen=True, slots=True)
class Difficulty:
    """One row: the F1 of each sample in order, and how many can't be read, name nothing, or were cut off."""

    index: int
    dataset: str
    f1: tuple[float, ...]
    unreadable: int
    silent: int
    cut: int
    gold_empty: bool

    @property
    def mean(self) -> float:
        return statistics.fmean(self.f1)

    @property
    def spread(self) -> float:
        """The standard deviation of the samples' F1, as of a whole population: 0.5 at most."""
        return statistics.pstdev(self.f1)

    @property
    def flat(self) -> str | None:
        """Which of FLAT the row is, None for one whose answers differ in F1."""
        if len(set(self.f1)) > 1:
            return None
        return FLAT[int(self.f1[0])] if self.f1[0] in (0, 1) else FLAT[2]

    def dropped(self, min_spread: float = 0.0, max_mean: float = 1.0) -> str | None:
        """Why the row isn't kept, one of DROPPED; None for one that is."""
        if self.flat:
            return self.flat
        if self.spread < min_spread:
            return NARROW
        return SOLVED if self.mean > max_mean else None


def measure(folder: Path, rows: Sequence[Row], samples: int, matching: str | None = None) -> list[Difficulty]:
    """The difficulty of each row, from the first `samples` of each in the folder's file."""
    f1 = {row.index: [0.0] * samples for row in rows}
    unreadable, silent, cut = (dict.fromkeys(f1, 0) for _ in range(3))
    for row, one in scored(folder, rows, samples, matching):
        f1[row.index][one.sample.sample] = one.f1
        unreadable[row.index] += not one.answer.parsed
        silent[row.index] += one.answer.parsed and not one.answer.facts
        cut[row.index] += one.sample.finish_reason == "length"
    return [
        Difficulty(
            index=row.index,
            dataset=row.dataset,
            f1=tuple(f1[row.index]),
            unreadable=unreadable[row.index],
            silent=silent[row.index],
            cut=cut[row.index],
            gold_empty=not row.example.facts,
        )
        for row in rows
    ]
