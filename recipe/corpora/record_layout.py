"""A layout whose files are lists of records: JSON, JSON Lines, Parquet or Arrow, recognised by the first record.

    LAYOUT = RecordLayout("GLiNER", '{"tokenized_text", "ner"}', fits, read)

    fits(record)            is a file whose first record this is of the layout?
    read(record, context)   the record as Annotated; raises Wrong for a bad one
    context(path, reading)  what read needs to know of the whole file, hashable

A layout that has relations, too, says so with TASKS=("re", "ner"); its records then have ties. One of events has a
mention with the event's type for each trigger, mentions without a type for arguments, and their roles as ties.

The object has all that recipe.corpora asks of a layout. A dataset is a folder with a file for each split, or one file
that is taken for whichever split is asked for. Its types are those of `labels.json`, or those in all its files.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from recipe import answers
from recipe.core.entities import DataError, Example, has_lone_surrogate, normalize_type
from recipe.corpora.annotated import Annotated, example_of
from recipe.corpora.json_files import read_lines, read_list
from recipe.corpora.labels import labels_file, read_labels, read_type_lists
from recipe.corpora.reading import Reading
from recipe.corpora.records import NO_RELATION, Wrong
from recipe.corpora.splits import SPLITS, closeness, split_files, split_folder

if TYPE_CHECKING:
    from recipe.corpora.dataset import Dataset

_LINES = (".jsonl", ".ndjson")
ENDINGS = (".json", *_LINES, ".parquet", ".arrow")


def _no_context(_path: Path, _reading: Reading) -> None:
    return None


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """A layout by what its records hold; `shape` says that to people.

    Where a dataset has more types than `most_types`, a record without types of its own is asked for those it names.
    """

    name: str
    shape: str
    fits: Callable[[object], bool]
    read: Callable[[object, Hashable], Annotated]
    context: Callable[[Path, Reading], Hashable] = _no_context
    most_types: int | None = None
    OPTIONS: tuple[str, ...] = ()
    TASKS: tuple[str, ...] = ("ner",)
    MAY_LACK_SPLITS: ClassVar[bool] = True

    @property
    def FILES(self) -> str:
        """The files by which the layout is known."""
        return f"{self.name} ({self.shape})"

    def found(self, path: Path) -> bool:
        """True for a file of the layout, and for a folder with one of any split."""
        return self.reads(path) if path.is_file() else any(self._splits(path))

    def reads(self, path: Path) -> bool:
        """True if the file's first record is one of the layout."""
        return (
            path.suffix in ENDINGS and path.is_file() and (first := first_record(path)) is not None and self.fits(first)
        )

    def file(self, path: Path, split: str) -> Path:
        """The split's file, or the first of its parts."""
        return next(iter(self.parts(path, split)), path / f"{split}.jsonl")

    def parts(self, path: Path, split: str) -> list[Path]:
        """All files of the split; where another is of the layout, the one that can't be read, too: it is told."""
        if found := self._recognised(path, split):
            return found
        unread = _unread(path, split)
        return unread if unread and any(self._splits(path)) else []

    def _recognised(self, path: Path, split: str) -> list[Path]:
        if path.is_file():
            return [path]
        return split_files(path, split, self.reads) or split_folder(path, split, self.reads)

    def label_files(self, path: Path) -> tuple[Path, ...]:
        """The list of types, and the files of all splits."""
        if path.is_file():
            return (path,)
        listed = labels_file(path if path.is_dir() else path.parent)  # one of several sets has it beside its splits
        return tuple(([listed] if listed else []) + list(self._splits(path)))

    def types(self, dataset: Dataset, reading: Reading) -> tuple[str, ...]:
        """The types of the list, or those that the files name; those of relations stand last."""
        _, of_entities, of_relations = self._names(dataset, reading)
        return (*of_entities, *of_relations)

    def examples(self, dataset: Dataset, split: str, reading: Reading) -> Iterator[Example]:
        """The split's records, its parts one after the other."""
        names, of_dataset, of_relations = self._names(dataset, reading)
        own = self.most_types is not None and len(of_dataset) > self.most_types
        for path in self.parts(dataset.folder, split):
            context = self.context(path, reading)

            def read(record: object, context: Hashable = context) -> tuple[Example | None, int]:
                annotated = self.read(record, context)
                if own and annotated.types is None:
                    annotated = replace(annotated, types=tuple(mention.label for mention in annotated.mentions))
                return example_of(annotated, of_dataset, names, dataset.name, reading, of_relations)

            yield from reading.examples(path, enumerate(records(path), 1), read)

    def sentences(self, path: Path, reading: Reading) -> Iterator[str]:
        """The texts of a file."""
        context = self.context(path, reading)
        for number, record in enumerate(records(path), 1):
            try:
                annotated = self.read(record, context)
            except Wrong as wrong:
                raise DataError(f"{path}: record {number}: {wrong}; correct it") from wrong
            if not annotated.left_out:
                yield annotated.text

    def _splits(self, path: Path) -> Iterator[Path]:
        return (file for split in SPLITS for file in self._recognised(path, split))

    def _names(self, dataset: Dataset, reading: Reading) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
        """What each normalised label is called if otherwise, and the dataset's types: of entities, and of relations."""
        first, *_ = files = dataset.label_files
        tied = self._task(reading) != "ner"
        listed = first if first.stem == "labels" and first != dataset.folder else None
        if tied and listed and (lists := read_type_lists(listed)):
            return {}, *(tuple(sorted(set(each) - NO_RELATION)) for each in lists)
        names = read_labels(listed) if listed else None
        if names is not None and not tied:
            return names, reading.types(first, names.values(), "list the types of the dataset"), ()
        of_entities, of_relations, faults = set(), set(), []
        for path in files if names is None else files[1:]:
            status = path.stat()
            named, tying, fault = _labels(self, path, self.context(path, reading), status.st_mtime_ns, status.st_size)
            of_entities |= named
            of_relations |= tying
            faults += [fault] if fault else []
        labels = of_relations if tied else of_entities
        if faults and not labels and not names and reading.skipped is None:
            raise DataError(faults[0])  # more to the point than that there are no types
        if not tied:
            remedy = "annotate an entity, or list the types in labels.json"
            return {}, reading.types(dataset.folder, labels, remedy), ()
        listed = (frozenset((names or {}).values()) or of_relations) - NO_RELATION - reading.ignored
        if not listed:
            raise DataError(f"{dataset.folder}: names no relation; list their types in labels.json")
        return names or {}, tuple(sorted(of_entities - {""})), tuple(sorted(listed))

    def _task(self, reading: Reading) -> str:
        return self.TASKS[0] if reading.format is None else answers.task(reading.format)


@functools.lru_cache(maxsize=256)  # a corpus is read several times; its files are surveyed once
def _labels(
    layout: RecordLayout, path: Path, context: Hashable, _mtime: int, _size: int
) -> tuple[frozenset[str], frozenset[str], str | None]:
    """The labels of mentions and of relations in a file, and what is wrong with the first bad record."""
    labels: set[str] = set()
    tying: set[str] = set()
    fault = None
    for number, record in enumerate(records(path), 1):
        try:
            annotated = layout.read(record, context)
        except Wrong as wrong:  # counted, if it is, when the record is read for its example
            fault = fault or f"{path}: record {number}: {wrong}; correct it or skip such records"
            continue
        labels.update(annotated.types or ())
        labels.update(mention.label for mention in annotated.mentions)
        tying.update(tie.label for tie in annotated.ties)
    return _normalized(labels), _normalized(tying), fault


def _normalized(labels: Iterable[str]) -> frozenset[str]:
    return frozenset(normalize_type(label) for label in labels if not has_lone_surrogate(label))


def _unread(folder: Path, split: str) -> list[Path]:
    """The files that are called as the split alone and end as records do."""

    def named(path: Path) -> bool:
        return path.suffix in ENDINGS and (path.parent != folder or closeness(path, split) == 0)

    return split_files(folder, split, named) or split_folder(folder, split, named)


# --------------------------------------------------------------------------------------------------------- records


def records(path: Path) -> Iterator[object]:
    """The records of a file, one after the other, by its ending. DataError, with the file, for a bad one."""
    if path.suffix == ".parquet":
        return _parquet(path)
    if path.suffix == ".arrow":
        return _arrow(path)
    return read_lines(path) if path.suffix in _LINES or _begins_with_an_object(path) else read_list(path)


def first_record(path: Path) -> object | None:
    """The first record of a file; None where it has none that can be read."""
    try:
        status = path.stat()
        return _first(path, status.st_mtime_ns, status.st_size)
    except OSError:
        return None


@functools.lru_cache(maxsize=1024)
def _first(path: Path, _mtime: int, _size: int) -> object | None:
    try:
        return next(iter(records(path)), None)
    except (DataError, OSError):
        return None


def _begins_with_an_object(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"
    except OSError:
        return False  # told when the file is read


def _parquet(path: Path) -> Iterator[object]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a Parquet file that can be read; write or copy it again") from error


def _arrow(path: Path) -> Iterator[object]:
    """A file in Arrow's stream or file format: what a Hugging Face dataset saves to disk."""
    import pyarrow

    try:
        with pyarrow.memory_map(str(path)) as source:
            try:
                batches = pyarrow.ipc.open_stream(source)
            except pyarrow.ArrowInvalid:
                file = pyarrow.ipc.open_file(source)
                batches = map(file.get_batch, range(file.num_record_batches))
            for batch in batches:
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not an Arrow file that can be read; write or copy it again") from error
