"""InstructUIE's layout: a JSON list of records for each split, and a list of types beside them.

    <Dataset>/{train,dev,test}.json   [{"sentence": "EU rejects", "entities": [{"name": "EU", "type": "organization"}]}]
    <Dataset>/labels.json             ["organization", "person"]

An entity's `pos` is a pair of characters, the end exclusive; where it contradicts the name, the name decides. A record
may have "labels", the types that may be asked for in its sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import Example, normalize_type
from recipe.corpora.json_files import read_list
from recipe.corpora.reading import Reading
from recipe.corpora.records import check_labels, check_record, read_entities, read_schema, sentences_of

if TYPE_CHECKING:
    from recipe.corpora.dataset import Dataset

LABELS = "labels.json"
FILES = "InstructUIE (train.json, dev.json, test.json, labels.json)"


def found(folder: Path) -> bool:
    """True if the folder holds a split; a folder that holds other layouts' files, too, is InstructUIE's."""
    return any(file(folder, split).is_file() for split in ("train", "dev", "test"))


def reads(path: Path) -> bool:
    """True for any file in JSON."""
    return path.suffix == ".json"


def file(folder: Path, split: str) -> Path:
    """`dev.json`."""
    return folder / f"{split}.json"


def label_files(folder: Path) -> tuple[Path, ...]:
    """`labels.json` alone."""
    return (folder / LABELS,)


def types(dataset: Dataset, reading: Reading) -> tuple[str, ...]:
    """The types of labels.json."""
    (path,) = dataset.label_files
    labels = list(read_list(path))
    check_labels(path, labels)
    return reading.types(path, {normalize_type(label) for label in labels}, "list the types of the dataset")


def examples(dataset: Dataset, split: str, reading: Reading) -> Iterator[Example]:
    """The split's records; those with "labels" ask for these types, the others for all of the dataset."""
    of_dataset, ignored = types(dataset, reading), reading.ignored

    def read(record: object) -> tuple[Example, int]:
        check_record(record, "sentence", "entities")
        own = read_schema(record["labels"], "labels", ignored) if "labels" in record else of_dataset
        noted: Counter = Counter()
        entities, residual = read_entities(record["entities"], "name", "type", own, ignored, record["sentence"], noted)
        reading.note_all(noted)
        return Example(record["sentence"], own, entities, dataset.name), residual

    path = dataset.file(split)
    yield from reading.examples(path, enumerate(read_list(path), 1), read)


def sentences(path: Path, _reading: Reading) -> Iterator[str]:
    """The sentences of a list of records, whatever else these hold."""
    return sentences_of(path, read_list(path))
