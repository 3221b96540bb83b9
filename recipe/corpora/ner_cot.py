"""NER-CoT's layout: one file of sentences with their types, entities and reasoning, in JSON or JSON Lines (.jsonl).

    {"sentence": "EU rejects", "schema": ["organization"], "source": "Pile-NER", "cot": "EU is ...",
     "entities": [{"text": "EU", "label": "organization"}], "guid": "17"}

A record without `source` belongs to a dataset of the file's name. The file is all of a dataset: it knows no splits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import IGNORED_TYPES, Example
from recipe.corpora.json_files import read_lines, read_list
from recipe.corpora.reading import Reading
from recipe.corpora.records import check_record, check_text, read_entities, read_schema, sentences_of

if TYPE_CHECKING:
    from recipe.corpora.dataset import Dataset


def found(_folder: Path) -> bool:
    """False: a dataset of this layout is a file, which the user names."""
    return False


def reads(path: Path) -> bool:
    """True for JSON Lines."""
    return path.suffix == ".jsonl"


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

    def read(record: object) -> tuple[Example, int]:
        check_record(record, "sentence", "entities", "schema")
        types = read_schema(record["schema"], "schema", IGNORED_TYPES)
        noted: Counter = Counter()
        entities, residual = read_entities(
            record["entities"], "text", "label", types, IGNORED_TYPES, record["sentence"], noted
        )
        reading.note_all(noted)
        source = check_text(record.get("source") or path.stem, "bad_source", "'source'")
        reasoning = check_text(record.get("cot"), "no_cot", "'cot'") if with_cot else None
        return Example(record["sentence"], types, entities, source, reasoning), residual

    return reading.examples(path, enumerate(_records(path), 1), read)


def sentences(path: Path, _reading: Reading) -> Iterator[str]:
    """The sentences of the records, whatever else these hold."""
    return sentences_of(path, _records(path))


def _records(path: Path) -> Iterator[object]:
    return read_lines(path) if path.suffix == ".jsonl" else read_list(path)
