"""Corpora on disk: finds datasets, reads their records as `Example`s, and says which record of which file is wrong.

    InstructUIE   <Dataset>/{train,dev,test}.json, one JSON list of
                  {"sentence": "EU rejects", "entities": [{"name": "EU", "type": "organization", "pos": [0, 2]}]}
                  and <Dataset>/labels.json: ["organization", "person"]
    NER-CoT       a JSON list, or JSON Lines where the file's name ends in .jsonl, of
                  {"sentence": "EU rejects", "schema": ["organization"], "source": "Pile-NER", "cot": "EU is ...",
                   "entities": [{"text": "EU", "label": "organization"}], "guid": "17"}

Memory holds one record and a read buffer, whatever the size of the file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.entities import (
    IGNORED_TYPES,
    DataError,
    Entity,
    Example,
    clean_types,
    has_lone_surrogate,
    normalize_type,
)
from recipe.json_files import read_lines, read_list, read_text

# ReasoningNER, section on RL data and tables of supervised and zero-shot results; the names are InstructUIE's folders.
IN_DOMAIN = (
    "ACE 2005", "AnatEM", "bc2gm", "bc4chemd", "bc5cdr", "Broad Tweet Corpus", "CoNLL 2003", "FabNER", "FindVehicle",
    "GENIA_NER", "HarveyNER", "mit-movie", "mit-restaurant", "MultiNERD", "ncbi", "Ontonotes", "PolyglotNER",
    "TweetNER7", "WikiANN en", "WikiNeural",
)  # fmt: skip
CROSS_DOMAIN = (
    "mit-movie", "mit-restaurant",
    "CrossNER_AI", "CrossNER_literature", "CrossNER_music", "CrossNER_politics", "CrossNER_science",
)  # fmt: skip
LISTS = {
    "in_domain": IN_DOMAIN,
    # The paper trains on the two MIT sets and also calls them out of domain; this list makes the claim true.
    "in_domain_clean": tuple(name for name in IN_DOMAIN if name not in CROSS_DOMAIN),
    "cross_domain": CROSS_DOMAIN,
}
SPLITS = ("train", "dev", "test")

_RESAMPLED = re.compile(r"_sample_\d+$")


# -------------------------------------------------------------------------------------------------------- datasets


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset's folder, and its name without `_sample_15000`: resampling makes no other dataset."""

    name: str
    folder: Path

    def file(self, split: str) -> Path:
        return self.folder / f"{split}.json"


def dataset_name(folder: str) -> str:
    """`"CoNLL 2003_sample_15000"` -> `"CoNLL 2003"`."""
    return _RESAMPLED.sub("", folder) or folder


def find_datasets(root: Path, names: Sequence[str] | None = None) -> tuple[list[Dataset], list[str]]:
    """The datasets of those names in their order, and the names that are not there; None for all, sorted.

    Where both `X` and `X_sample_15000` are there, `X` is the dataset. DataError if `root` holds no folder or one
    dataset is named twice.
    """
    root = next((path for path in (root / "IE_INSTRUCTIONS" / "NER", root / "NER") if path.is_dir()), root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give the one that holds a folder for each dataset")
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise DataError(f"{root}: holds no folder; give the one that holds a folder for each dataset")
    # The shortest name of a dataset is the one that is not resampled.
    by_name = {dataset_name(folder): folder for folder in sorted(folders, key=len, reverse=True)}
    if names is None:
        return [Dataset(name, root / by_name[name]) for name in sorted(by_name)], []
    found: list[Dataset] = []
    missing = []
    for wanted in names:
        folder = wanted if wanted in folders else by_name.get(wanted)
        if folder is None:
            missing.append(wanted)
        elif any(dataset.name == dataset_name(folder) for dataset in found):
            raise DataError(f"{wanted}: named twice; name each dataset once")
        else:
            found.append(Dataset(dataset_name(folder), root / folder))
    return found, missing


def read_names(path: Path) -> tuple[str, ...]:
    """Dataset names from a text file: one on a line; blank lines and lines that begin with # do not count."""
    lines = (line.strip() for line in read_text(path).splitlines())
    names = tuple(line for line in lines if line and not line.startswith("#"))
    if not names:
        raise DataError(f"{path}: names no dataset; write one name on each line")
    return names


# --------------------------------------------------------------------------------------------------------- records


def read_labels(dataset: Dataset) -> tuple[str, ...]:
    """The types that may be asked for, normalised and sorted, without the residual ones."""
    path = dataset.folder / "labels.json"
    labels = list(read_list(path))
    for number, label in enumerate(labels, 1):
        if not isinstance(label, str) or has_lone_surrogate(label):
            raise DataError(f"{path}: record {number}: a type name must be a string of valid text")
    types = clean_types(labels)
    if not types:
        raise DataError(f"{path}: leaves no type to ask for ({len(labels)} labels); list the types of the dataset")
    return types


def read_instructuie(
    dataset: Dataset, split: str, skipped: Counter | None = None, noted: Counter | None = None
) -> Iterator[Example]:
    """The examples of one split in file order.

    A bad record raises DataError; where `skipped` is given it is left out and counted there by reason instead.
    `noted` counts what is kept but worth knowing: `residual_entity` (an entity of a type that is none, such as
    `else`; the entity is left out) and `name_not_in_sentence`.
    """
    types = read_labels(dataset)
    path = dataset.file(split)
    for number, record in enumerate(read_list(path), 1):
        try:
            _check_record(record, "sentence", "entities")
            entities, residual = _entities(record["entities"], "name", "type", types)
        except _Wrong as wrong:
            _refuse(path, number, wrong, skipped)
            continue
        yield _note(Example(record["sentence"], types, entities, dataset.name), residual, noted)


def read_ner_cot(
    path: Path, skipped: Counter | None = None, noted: Counter | None = None, cot: bool = True
) -> Iterator[Example]:
    """The examples of a NER-CoT file with their reasoning; counters as in `read_instructuie`.

    Without `cot` that column is not looked at. A row without `source` belongs to a dataset of the file's name.
    """
    for number, record in enumerate(read_lines(path) if path.suffix == ".jsonl" else read_list(path), 1):
        try:
            _check_record(record, "sentence", "entities", "schema")
            types = _schema(record["schema"])
            entities, residual = _entities(record["entities"], "text", "label", types)
            source = _text(record.get("source") or path.stem, "bad_source", "'source'")
            reasoning = _text(record.get("cot"), "no_cot", "'cot'") if cot else None
        except _Wrong as wrong:
            _refuse(path, number, wrong, skipped)
            continue
        yield _note(Example(record["sentence"], types, entities, source, reasoning), residual, noted)


class _Wrong(ValueError):
    """What is wrong with a record, before it is known which one it is."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _refuse(path: Path, number: int, wrong: _Wrong, skipped: Counter | None) -> None:
    if skipped is None:
        remedy = "correct it or skip such records"
        raise DataError(f"{path}: record {number}: {wrong}; {remedy}") from wrong
    skipped[wrong.reason] += 1


def _note(example: Example, residual: int, noted: Counter | None) -> Example:
    if noted is not None:
        noted["residual_entity"] += residual
        noted["name_not_in_sentence"] += sum(entity.name not in example.sentence for entity in example.entities)
    return example


def _check_record(record: object, *keys: str) -> None:
    if not isinstance(record, dict):
        raise _Wrong("not_an_object", f"{_kind(record)}, not an object")
    for key in keys:
        if key not in record:
            raise _Wrong(f"no_{key}", f"lacks {key!r}")
    _text(record["sentence"], "bad_sentence", "'sentence'")


def _entities(records: object, name_key: str, type_key: str, types: tuple[str, ...]) -> tuple[tuple[Entity, ...], int]:
    """The entities, and how many were left out because their type is a residual label."""
    if not isinstance(records, list):
        raise _Wrong("bad_entities", f"'entities' is {_kind(records)}, not a list")
    found = []
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise _Wrong("bad_entity", f"entity {number} is {_kind(record)}, not an object")
        for key in (name_key, type_key):
            if not isinstance(record.get(key), str):
                what = f"has {_kind(record[key])} as {key!r}" if key in record else f"lacks {key!r}"
                raise _Wrong("bad_entity", f"entity {number} {what}")
        name = _text(record[name_key], "bad_name", f"{name_key!r} of entity {number}")
        label = normalize_type(record[type_key])
        if label in IGNORED_TYPES:
            continue
        if label not in types:
            message = f"entity {number} is of type {label[:80]!r}, which is none of the {len(types)} types it may have"
            raise _Wrong("unknown_type", message)
        found.append(Entity(name, label))
    return tuple(found), len(records) - len(found)


def _schema(labels: object) -> tuple[str, ...]:
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise _Wrong("bad_schema", "'schema' is not a list of strings")
    types = clean_types(labels)
    if not types or any(has_lone_surrogate(label) for label in types):
        raise _Wrong(
            "bad_schema", "'schema' leaves no type to ask for" if not types else "'schema' has a lone surrogate"
        )
    return types


def _text(value: object, reason: str, what: str) -> str:
    if not isinstance(value, str):
        raise _Wrong(reason, f"{what} is {_kind(value)}, not a string")
    if not value.strip():
        raise _Wrong(reason, f"{what} is empty")
    if has_lone_surrogate(value):
        raise _Wrong("lone_surrogate", f"{what} holds a lone surrogate (half of a UTF-16 pair)")
    return value


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null or missing"}
    return kinds.get(type(value), "a number")
