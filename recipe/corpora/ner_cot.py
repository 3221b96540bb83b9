"""NER-CoT's layout: one file of sentences with their types, entities and reasoning. Or with relations or events.

    {"sentence": "EU rejects", "schema": ["organization"], "source": "Pile-NER", "cot": "EU is ...",
     "entities": [{"text": "EU", "label": "organization"}], "guid": "17"}

In place of entities a file may have relations, with entities or without, or events: recipe.corpora.own_types shows its
records. Its first record decides. The file is JSON, JSON Lines, Parquet or Arrow. Where it has text in place of the
lists, that is their JSON. A record without `source` (or `dataset`) belongs to a dataset of the file's name. A `cot` may
stand in a think block as a whole. The file is all of a dataset: it knows no splits.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.answers.think import CLOSE, OPEN, unwrapped
from recipe.core.entities import IGNORED_TYPES, Example
from recipe.corpora import own_types
from recipe.corpora.reading import Reading
from recipe.corpora.record_layout import ENDINGS, first_record, records
from recipe.corpora.records import (
    Wrong,
    check_record,
    check_text,
    ignored_types,
    read_entities,
    read_schema,
    sentences_of,
)

if TYPE_CHECKING:
    from recipe.corpora.dataset import Dataset


def fits(record: object) -> bool:
    """True for a sentence with schema and entities, or with the types of relations, too, and relations or events."""
    if not isinstance(record, dict) or not {"sentence", "schema"} <= record.keys():
        return False
    return "entities" in record if own_types.RELATION_TYPES not in record else own_types.task_of(record) != "ner"


def tasks(path: Path) -> tuple[str, ...]:
    """What the file's first record has: names, relations or events."""
    first = first_record(path)
    return (own_types.task_of(first) if fits(first) and own_types.RELATION_TYPES in first else "ner",)


def holds(path: Path) -> bool:
    """True if the file's first record is one of the layout."""
    return path.suffix in ENDINGS and path.is_file() and fits(first_record(path))


def found(_folder: Path) -> bool:
    """False: a dataset of this layout is a file, which the user names."""
    return False


def reads(path: Path) -> bool:
    """True for JSON Lines, and for any file whose first record is one of the layout."""
    return path.suffix == ".jsonl" or holds(path)


def file(path: Path, _split: str) -> Path:
    """The one file."""
    return path


def label_files(_path: Path) -> tuple[Path, ...]:
    """None: each record has types of its own."""
    return ()


def types(_dataset: Dataset, _reading: Reading) -> tuple[str, ...]:
    """None of the whole dataset's."""
    return ()


def examples(dataset: Dataset, _split: str, reading: Reading) -> Iterator[Example]:
    """The examples of the file with their reasoning; with `reading.cot` "none", that column is not looked at.

    Residual types are never kept.
    """
    path, with_cot = dataset.folder, reading.cot != "none"
    (task,) = tasks(path)

    def read(record: object) -> tuple[Example, int]:
        if task != "ner":
            return _of_task(task, record, path, reading, with_cot), 0
        check_record(record, "sentence", "entities", "schema")
        types = read_schema(_list(record["schema"]), "schema", IGNORED_TYPES)
        noted: Counter = Counter()
        entities, residual = read_entities(
            _list(record["entities"]), "text", "label", types, IGNORED_TYPES, record["sentence"], noted
        )
        reading.note_all(noted)
        reasoning = _reasoning(record) if with_cot else None
        return Example(record["sentence"], types, entities, _source(record, path), reasoning), residual

    return reading.examples(path, enumerate(records(path), 1), read)


def sentences(path: Path, _reading: Reading) -> Iterator[str]:
    """The sentences of the records, whatever else these hold."""
    return sentences_of(path, records(path))


def _of_task(task: str, record: object, path: Path, reading: Reading, with_cot: bool) -> Example:
    check_record(record, "sentence", "schema", own_types.RELATION_TYPES)
    record = {key: _list(value) for key, value in record.items()}
    # A head or tail may be of a residual type, which no relation is.
    types = read_schema(record["schema"], "schema", ignored_types(keep_else=True)) if record["schema"] else ()
    relation_types = read_schema(record[own_types.RELATION_TYPES], own_types.RELATION_TYPES, IGNORED_TYPES)
    example = own_types.example_with(record, task, types, relation_types, _source(record, path), reading)
    return replace(example, reasoning=_reasoning(record)) if with_cot else example


def _source(record: Mapping[str, object], path: Path) -> str:
    return check_text(record.get("source") or record.get("dataset") or path.stem, "bad_source", "'source'")


def _list(value: object) -> object:
    """The list that a text holds as JSON, which is how tables are exported; else the value itself."""
    try:
        return json.loads(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
    except (ValueError, RecursionError):
        return value


def _reasoning(record: Mapping[str, object]) -> str:
    reasoning = check_text(unwrapped(check_text(record.get("cot"), "no_cot", "'cot'")), "no_cot", "'cot'")
    for tag in (OPEN, CLOSE):
        if tag in reasoning:
            raise Wrong("control_token", f"'cot' holds {tag}; take the tags out")
    return reasoning
