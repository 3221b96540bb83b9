"""InstructUIE's layout: a JSON list of records for each split, and a list of types beside them.

    <Dataset>/{train,dev,test}.json   [{"sentence": "EU rejects", "entities": [{"name": "EU", "type": "organization"}]}]
    <Dataset>/labels.json             ["organization", "person"]

A split may be JSON Lines (.jsonl) as well. A dataset may be one such file: its types are those of a labels.json beside
it, else those that it names. An entity's `pos` is a pair of characters, the end exclusive; where it contradicts the
name, the name decides. A record may have "labels", the types that may be asked for in its sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import Example, has_lone_surrogate, normalize_type
from recipe.corpora.json_files import read_lines, read_list
from recipe.corpora.reading import Reading
from recipe.corpora.record_layout import first_record
from recipe.corpora.records import check_labels, check_record, read_entities, read_schema, sentences_of

if TYPE_CHECKING:
    from recipe.corpora.dataset import Dataset

LABELS = "labels.json"
FILES = "InstructUIE (train.json, dev.json, test.json, labels.json)"

_LINES = (".jsonl", ".ndjson")


def fits(record: object) -> bool:
    """True for a sentence with entities and, as NER-CoT has it, no schema."""
    return isinstance(record, dict) and {"sentence", "entities"} <= record.keys() and "schema" not in record


def found(path: Path) -> bool:
    """True for a file of records, and a folder with a split; one with other layouts' files, too, is InstructUIE's."""
    if path.is_file():
        return path.suffix in (".json", *_LINES) and fits(first_record(path))
    return any(_is_split(file(path, split)) for split in ("train", "dev", "test"))


def reads(path: Path) -> bool:
    """True for any file in JSON, and for JSON Lines of the layout."""
    return path.suffix == ".json" or (path.suffix in _LINES and fits(first_record(path)))


def file(path: Path, split: str) -> Path:
    """`dev.json`, or `dev.jsonl` where that is there alone; the one file is any split."""
    if path.is_file():
        return path
    usual = path / f"{split}.json"
    lines = (path / f"{split}{ending}" for ending in _LINES)
    return usual if usual.is_file() else next((each for each in lines if reads(each)), usual)


def label_files(path: Path) -> tuple[Path, ...]:
    """`labels.json` alone; for one file without it, that file."""
    beside = (path.parent if path.is_file() else path) / LABELS
    return (path,) if path.is_file() and not beside.is_file() else (beside,)


def types(dataset: Dataset, reading: Reading) -> tuple[str, ...]:
    """The types of labels.json, or those that the one file names."""
    (path,) = dataset.label_files
    if path == dataset.folder:
        return reading.types(path, _named(path), "annotate an entity, or list the types in labels.json beside it")
    labels = list(read_list(path))
    check_labels(path, labels)
    return reading.types(path, {normalize_type(label) for label in labels}, "list the types of the dataset")


def examples(dataset: Dataset, split: str, reading: Reading) -> Iterator[Example]:
    """The split's records; those with "labels" ask for these types, the others for all of the dataset."""
    of_dataset, ignored, noted = types(dataset, reading), reading.ignored, Counter()

    def read(record: object) -> tuple[Example, int]:
        check_record(record, "sentence", "entities")
        own = read_schema(record["labels"], "labels", ignored) if "labels" in record else of_dataset
        noted.clear()  # of a record that was refused
        entities, residual = read_entities(record["entities"], "name", "type", own, ignored, record["sentence"], noted)
        reading.note_all(noted)
        return Example(record["sentence"], own, entities, dataset.name), residual

    path = dataset.file(split)
    yield from reading.examples(path, enumerate(_records(path), 1), read)


def sentences(path: Path, _reading: Reading) -> Iterator[str]:
    """The sentences of a list of records, whatever else these hold."""
    return sentences_of(path, _records(path))


def _is_split(path: Path) -> bool:
    """True for a file of the layout, and for one whose first record says of no other layout."""
    if not path.is_file():
        return False
    first = first_record(path)
    if isinstance(first, dict):
        return "schema" not in first and not {"sentence", "entities"}.isdisjoint(first)
    return not isinstance(first, list)  # a list of pairs is spaCy's


def _records(path: Path) -> Iterator[object]:
    return read_lines(path) if path.suffix in _LINES else read_list(path)


def _named(path: Path) -> set[str]:
    """The types that a file's records name; records that are wrong don't count here."""
    labels: set[str] = set()
    for record in _records(path):
        for key in ("entities", "labels"):
            values = record.get(key) if isinstance(record, dict) else None
            values = values if isinstance(values, list) else []
            each = (value.get("type") if isinstance(value, dict) else value for value in values)
            labels.update(label for label in each if isinstance(label, str))
    return {normalize_type(label) for label in labels if not has_lone_surrogate(label)}
