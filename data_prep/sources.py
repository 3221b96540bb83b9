"""Sources of sentences, the choice of rows among them, and the count of what became of each record.

A file is read as often as needed and never held: choosing 5,000 of a million rows keeps the 5,000.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Protocol

from data_prep.rows import RowRules, refusal
from recipe.answers.think import template_reasoning
from recipe.core.entities import DataError, Example
from recipe.core.sampling import lowest, quotas, row_key, share_size
from recipe.corpora import conll
from recipe.corpora import datasets as corpora
from recipe.corpora.conll import FIRST_AND_LAST, Columns
from recipe.corpora.json_files import read_list
from recipe.evaluate import left_out
from recipe.evaluate.left_out import count_gold


@dataclass(frozen=True, slots=True)
class Source:
    """Sentences of one dataset. `read(skipped, noted)` starts from the beginning each time."""

    name: str
    files: tuple[Path, ...]
    read: Callable[[Counter | None, Counter | None], Iterator[Example]]


@dataclass(slots=True)
class Tally:
    """What became of the records of one source."""

    read: int = 0
    written: int = 0
    skipped: Counter = field(default_factory=Counter)  # bad records, by reason
    dropped: Counter = field(default_factory=Counter)  # sound records that get no row, by reason
    noted: Counter = field(default_factory=Counter)  # kept, but worth knowing
    sentences: int = 0  # of the sound records; where rows ask about single types, several rows are about one
    with_rows: int = 0  # of those, the sentences of which a row is left
    gold: dict[str, dict[str, Counter]] = field(default_factory=dict)  # of what was dropped: reason -> rule -> type

    def drop(self, reason: str, example: Example) -> None:
        """Count an example that gets no row."""
        self.dropped[reason] += 1
        gold = self.gold.setdefault(reason, {})
        for rule, by_type in count_gold(example.entities).items():
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


class Progress(Protocol):
    """The part of tqdm's bar that is used here."""

    def update(self) -> object: ...
    def set_description(self, desc: str, refresh: bool) -> object: ...


@dataclass(frozen=True, slots=True)
class Scan:
    """How sources are read: the rules for rows, whether bad records are skipped, and a progress bar."""

    rules: RowRules
    skip_bad: bool
    progress: Progress

    def __call__(self, source: Source, tally: Tally) -> Iterator[tuple[int, Example]]:
        """The examples that get a row, each with its position among the source's sound records."""
        self.progress.set_description(source.name, refresh=False)
        positions = count()
        for asked in self._read(source, tally.skipped, tally.noted):
            tally.sentences += 1
            rows = 0
            for example, position in zip(
                asked, positions, strict=False
            ):  # takes a position only if there is an example
                self.progress.update()
                tally.read += 1
                reason = refusal(example, self.rules)
                if reason is None:
                    rows += 1
                    yield position, example
                else:
                    tally.drop(reason, example)
            tally.with_rows += rows > 0

    def take(self, source: Source, positions: set[int]) -> Iterator[Example]:
        """The examples at those positions, without another look at them."""
        rows = chain.from_iterable(self._read(source, Counter(), None))
        return (example for position, example in enumerate(rows) if position in positions)

    def _read(self, source: Source, skipped: Counter, noted: Counter | None) -> Iterator[tuple[Example, ...]]:
        """What is asked about each sentence."""
        return map(self.rules.asked, source.read(skipped if self.skip_bad else None, noted))


@dataclass(frozen=True, slots=True)
class Amount:
    """How many rows: `total` of all sources in proportion to their size, `share` of each source, or all of them.

    A source counts as at most `cap` rows.
    """

    total: int | None = None
    share: float | None = None
    cap: int | None = None

    @property
    def all(self) -> bool:
        return self.total is None and self.share is None and self.cap is None

    @property
    def limit(self) -> int | None:
        """The most rows that can be taken of one source, or None if that depends on its size."""
        return min((limit for limit in (self.total, self.cap) if limit is not None), default=None)

    def of(self, sizes: dict[str, int]) -> dict[str, int]:
        """Rows to take of each source."""
        if self.total is not None:
            return quotas(sizes, self.total, self.cap)
        capped = {name: size if self.cap is None else min(size, self.cap) for name, size in sizes.items()}
        return {name: size if self.share is None else share_size(size, self.share) for name, size in capped.items()}


def choose(
    split: str, sources: Sequence[Source], amount: Amount, seed: int, scan: Scan, tallies: dict[str, Tally]
) -> list[Example]:
    """The sampled rows in their final, shuffled order, which depends on the seed and the rows' content alone.

    DataError, which names the split, if there are fewer rows than asked for.
    """
    ranked = {}
    sizes = {}
    for source in sources:
        tally = tallies[source.name]
        keyed = ((row_key(seed, example), position) for position, example in scan(source, tally))
        ranked[source.name] = lowest(keyed, amount.limit)
        sizes[source.name] = tally.read - tally.dropped.total()
    try:
        wanted = amount.of(sizes)
    except DataError as error:
        raise DataError(f"{split}: {error}") from error
    chosen: list[Example] = []
    for source in sources:
        positions = ranked[source.name][: wanted[source.name]]
        tallies[source.name].written = len(positions)
        chosen += scan.take(source, set(positions))
    return sorted(chosen, key=lambda example: row_key(seed, example, "order"))


# ----------------------------------------------------------------------------------------------------- the corpora


@dataclass(frozen=True, slots=True)
class Reading:
    """How datasets are read: with reasoning built from the gold? with residual types? which columns of CoNLL files?"""

    template_cot: bool = False
    keep_else: bool = False
    columns: Columns = FIRST_AND_LAST


def dataset_sources(datasets: Sequence[corpora.Dataset], split: str, reading: Reading) -> tuple[Source, ...]:
    """A source for each dataset. DataError for a file that is not there."""
    sources = []
    for dataset in datasets:
        files = tuple(dict.fromkeys((dataset.file(split), *dataset.label_files)))
        for path in files:
            if not path.is_file():
                raise DataError(f"{path}: no such file; a dataset folder holds labels.json and a file for each split")
        sources.append(Source(dataset.name, files, partial(_read_dataset, dataset, split, reading)))
    return tuple(sources)


def _read_dataset(
    dataset: corpora.Dataset, split: str, reading: Reading, skipped: Counter | None, noted: Counter | None
) -> Iterator[Example]:
    for example in corpora.read_dataset(dataset, split, skipped, noted, reading.keep_else, reading.columns):
        yield replace(example, reasoning=template_reasoning(example)) if reading.template_cot else example


def ner_cot_sources(paths: Sequence[Path], cot: bool) -> tuple[Source, ...]:
    """A source for each file of NER-CoT rows, called by its path."""
    return tuple(
        Source(str(path), (path,), lambda skipped, noted, path=path: corpora.read_ner_cot(path, skipped, noted, cot))
        for path in paths
    )


def sentence_files(path: Path) -> list[Path]:
    """The file itself, or each test split in a folder and below."""
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob("test.json"))
    folders = [path, *(folder for folder in sorted(path.rglob("*")) if folder.is_dir())]
    in_columns = (conll.split_file(folder, "test") for folder in folders if not (folder / "test.json").is_file())
    files += [file for file in in_columns if file is not None]
    if not files:
        raise DataError(f"{path}: no test.json in it or below; name a file or a folder that holds one")
    return files


def sentences(path: Path, columns: Columns) -> Iterator[str]:
    """The sentences of a Parquet file written here, of an InstructUIE split, or of a CoNLL file."""
    if path.suffix == ".parquet":
        yield from _parquet_sentences(path)
        return
    if path.suffix in conll.SUFFIXES:
        for sentence in conll.read_sentences(path, columns):
            if isinstance(sentence, conll.Fault):
                raise DataError(f"{path}: line {sentence.line}: {sentence.message}; correct it")
            yield sentence.text
        return
    for number, record in enumerate(read_list(path), 1):
        if not isinstance(record, dict) or not isinstance(record.get("sentence"), str):
            raise DataError(f"{path}: record {number}: has no 'sentence' string; this must be an InstructUIE split")
        yield record["sentence"]


def _parquet_sentences(path: Path) -> Iterator[str]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["extra_info.sentence"]):
                yield from batch.column("extra_info").field("sentence").to_pylist()
    except (pa.ArrowException, KeyError) as error:
        raise DataError(f"{path}: has no extra_info.sentence to read; name a Parquet file written here") from error
