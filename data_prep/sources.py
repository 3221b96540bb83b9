"""The choice of rows among datasets, and the count of what became of each record.

Every record is read and checked, whether it is chosen or not. A file is read again where more rows than memory may hold
might be chosen of it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

from data_prep.draw import HELD, Draw, Drawn, at_positions, in_order
from data_prep.progress import Progress
from data_prep.refusals import Refusals
from data_prep.rows import RowRules
from recipe.core.entities import DataError, Example
from recipe.core.sampling import quotas, row_key, share_size
from recipe.corpora import Reading
from recipe.corpora.dataset import Dataset
from recipe.corpora.datasets import read_dataset
from recipe.evaluate import left_out
from recipe.evaluate.left_out import count_gold


@dataclass(slots=True)
class Tally:
    """What became of the records of one dataset."""

    read: int = 0
    written: int = 0
    skipped: Counter = field(default_factory=Counter)  # bad records, by reason
    dropped: Counter = field(default_factory=Counter)  # sound records that get no row, by reason
    noted: Counter = field(default_factory=Counter)  # kept, but worth knowing
    sentences: int = 0  # of the sound records; where rows ask about single types, one sentence has several rows
    with_rows: int = 0  # sentences with a row
    gold: dict[str, dict[str, Counter]] = field(default_factory=dict)  # of what was dropped: reason -> rule -> type

    def drop(self, reason: str, example: Example) -> None:
        """Count an example that gets no row."""
        self.dropped[reason] += 1
        gold = self.gold.setdefault(reason, {})
        for rule, by_type in count_gold(example).items():
            gold.setdefault(rule, Counter()).update(by_type)

    @property
    def split(self) -> left_out.Split:
        """What the split had and what of it became no row, once all of it was read."""
        reasons = {reason: left_out.Reason(n, self.gold[reason]) for reason, n in self.dropped.items()}
        reasons |= {reason: left_out.Reason(n, None) for reason, n in self.skipped.items() if n}
        return left_out.Split(self.with_rows, self.sentences + self.skipped.total(), reasons)

    def as_dict(self) -> dict:
        counters = {"skipped": self.skipped, "dropped": self.dropped, "noted": self.noted}
        plain = {name: {key: n for key, n in sorted(counter.items()) if n} for name, counter in counters.items()}
        return {"records": self.read + self.skipped.total(), **plain, "written": self.written}


BATCH = 1000  # sentences that are looked at together


@dataclass(frozen=True)
class Scan:
    """How a split of datasets is read: the rules for rows, whether bad records are skipped, and who is told how far."""

    split: str
    rules: RowRules
    reading: Reading
    skip_bad: bool
    progress: Progress

    @cached_property
    def _refusals(self) -> Refusals:
        return Refusals(self.rules)

    def __call__(self, dataset: Dataset, tally: Tally) -> Iterator[tuple[int, Example]]:
        """The examples that get a row, each with its position among the dataset's sound records."""
        self.progress.about(dataset.name)
        sentences = self._read(dataset, tally.skipped, tally.noted)
        while batch := list(islice(sentences, BATCH)):
            examples = list(chain.from_iterable(batch))
            reasons = self._refusals(examples)
            tally.sentences += len(batch)
            position, at = tally.read, 0
            tally.read += len(examples)
            for asked in batch:
                of_sentence = reasons[at : at + len(asked)]
                at += len(asked)
                tally.with_rows += None in of_sentence
                for example, reason in zip(asked, of_sentence, strict=True):
                    if reason is None:
                        yield position, example
                    else:
                        tally.drop(reason, example)
                    position += 1
            self.progress.update(len(examples))

    def take(self, dataset: Dataset, positions: Sequence[int]) -> Iterator[Example]:
        """The examples at those ascending positions, without another look at them."""
        self.progress.about(f"{dataset.name}, again")
        for example in at_positions(chain.from_iterable(self._read(dataset, Counter(), None)), positions):
            self.progress.update(1)
            yield example

    def _read(self, dataset: Dataset, skipped: Counter, noted: Counter | None) -> Iterator[tuple[Example, ...]]:
        """What is asked about each sentence."""
        reading = replace(self.reading, skipped=skipped if self.skip_bad else None, noted=noted)
        examples = read_dataset(dataset, self.split, reading)
        return zip(examples) if self.rules.asks_as_read else map(self.rules.asked, examples)


@dataclass(frozen=True, slots=True)
class Amount:
    """How many rows: `total` of all datasets in proportion to their size, `share` of each dataset, or all of them.

    A dataset counts as at most `cap` rows. `or_fewer`: `total` is a default, and all rows are taken if it is more.
    """

    total: int | None = None
    share: float | None = None
    cap: int | None = None
    or_fewer: bool = False

    @property
    def all(self) -> bool:
        return self.total is None and self.share is None and self.cap is None

    @property
    def limit(self) -> int | None:
        """The most rows that can be taken of one dataset, or None if that depends on its size."""
        return min((limit for limit in (self.total, self.cap) if limit is not None), default=None)

    def of(self, sizes: dict[str, int]) -> dict[str, int]:
        """Rows to take of each dataset."""
        capped = {name: size if self.cap is None else min(size, self.cap) for name, size in sizes.items()}
        if self.total is not None:
            available = sum(capped.values())
            return quotas(sizes, min(self.total, available) if self.or_fewer else self.total, self.cap)
        return {name: size if self.share is None else share_size(size, self.share) for name, size in capped.items()}


def choose(
    datasets: Sequence[Dataset], amount: Amount, seed: int, scan: Scan, tallies: dict[str, Tally], spare: Path
) -> Iterator[Example]:
    """The sampled rows in their final, shuffled order, which depends on the seed and the rows' content alone.

    Rows that memory may not hold wait in files in the folder `spare`. DataError, which names option and split, if there
    are fewer rows than asked for.
    """
    draws: dict[str, Draw] = {}
    sizes, room = {}, HELD
    for dataset in datasets:
        tally, draw = tallies[dataset.name], Draw(amount.limit, room)
        for position, example in scan(dataset, tally):
            draw.add(row_key(seed, example), position, example)
        draws[dataset.name] = draw
        room -= draw.held
        sizes[dataset.name] = tally.read - tally.dropped.total()
    option = "--share" if amount.total is None else "--num-dev" if scan.split == "dev" else "--num-samples"
    try:
        wanted = amount.of(sizes)
    except DataError as error:
        raise DataError(f"{option}: {scan.split}: {error}") from error
    if amount.or_fewer and 0 < (there := sum(wanted.values())) < amount.total:
        say(f"{option}: {amount.total:,} rows by default, {there:,} there are, so {scan.split} has all of them")
    drawn = {name: draw.lowest(wanted[name]) for name, draw in draws.items()}
    for name, each in drawn.items():
        tallies[name].written = len(each.positions)
    rows = chain.from_iterable(_rows_of(dataset, drawn[dataset.name], scan) for dataset in datasets)
    number = sum(len(each.positions) for each in drawn.values())
    return in_order(rows, lambda example: row_key(seed, example, "order"), number, spare, HELD)


def _rows_of(dataset: Dataset, drawn: Drawn, scan: Scan) -> Iterable[Example]:
    return scan.take(dataset, drawn.positions) if drawn.rows is None else drawn.rows


def check_files(datasets: Sequence[Dataset], split: str) -> None:
    """DataError for a file of the split that is not there."""
    for path in (path for dataset in datasets for path in dataset.files(split)):
        if not path.is_file():
            lists = path.stem == "labels"
            holds = "it lists the dataset's types" if lists else "a dataset's folder holds a file for each split"
            raise DataError(f"{path}: no such file; {holds}")


def say(note: str) -> None:
    """A note for the user, on stderr."""
    print(f"note: {note}", file=sys.stderr)
