"""Reading comprehension's layout: the JSON files of "A Unified MRC Framework for NER" (Li et al., ACL 2020).

    <Dataset>/mrc-ner.{train,dev,test}, or one of these files alone

    [{"context": "EU rejects German call", "query": "organization entities are ...", "entity_label": "ORG",
      "qas_id": "0.1", "impossible": false, "start_position": [0], "end_position": [0], "span_position": ["0;0"]}]

A record asks about one type in one sentence. Positions count tokens from 0, with white space between them; the end is
inclusive. A record whose sentence has no entity of the type (`impossible`) is an example with an empty answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.answers.queries import FORMAT
from recipe.core.entities import Example, normalize_type
from recipe.corpora.json_files import read_list
from recipe.corpora.questions import together
from recipe.corpora.reading import STRICT, Reading
from recipe.corpora.records import Wrong, check_record, check_text, in_text_order, kind_of, spelled

if TYPE_CHECKING:
    from recipe.corpora.dataset import Dataset

FILES = "MRC questions (mrc-ner.train, mrc-ner.dev, mrc-ner.test)"

# CoNLL-2003's tags by the names that InstructUIE uses.
TYPE_NAMES: Mapping[str, str] = {"per": "person", "loc": "location", "org": "organization"}

Queries = dict[str, tuple[str, int]]  # type -> the question, and the number of the first record that asks it

_TOKEN = re.compile(r"[^ \t\r\n]+")  # str.split() would split at a no-break space, which is part of a token
_SPAN = re.compile(r"([0-9]{1,9})[;,]([0-9]{1,9})")


def found(folder: Path) -> bool:
    """True for a split, and for a folder that holds one."""
    return bool(_files(folder))


def reads(path: Path) -> bool:
    """True for `mrc-ner.test` and its like."""
    return path.stem == "mrc-ner"


def file(folder: Path, split: str) -> Path:
    """`mrc-ner.dev`; the one file is any split."""
    return folder if folder.is_file() else folder / f"mrc-ner.{split}"


def label_files(_folder: Path) -> tuple[Path, ...]:
    """None: the questions say which types there are."""
    return ()


def types(dataset: Dataset, reading: Reading) -> tuple[str, ...]:
    """The types that any split asks about."""
    labels = {label for path in _files(dataset.folder) for label in descriptions(path, reading.keep_else)}
    return reading.types(dataset.folder, labels, "ask about one")


def examples(dataset: Dataset, split: str, reading: Reading) -> Iterator[Example]:
    """The sentences of the split, each with the types that are asked of it."""
    return whole_sentences(dataset.file(split), dataset.name, reading)


def sentences(path: Path, reading: Reading) -> Iterator[str]:
    """The sentences of a file."""
    return (example.sentence for example in whole_sentences(path, reading=reading))


def descriptions(path: Path, keep_else: bool = False) -> dict[str, str]:
    """Type -> the file's question about it; records that are wrong don't count here."""
    queries: Queries = {}
    reading = Reading(keep_else, skipped=Counter())
    for _ in questions(path, reading=reading, queries=queries):
        pass
    return {label: query for label, (query, _) in queries.items() if label not in reading.ignored}


def _files(folder: Path) -> list[Path]:
    paths = dict.fromkeys(file(folder, split) for split in ("train", "dev", "test"))
    return [path for path in paths if path.is_file() and reads(path)]


def questions(
    path: Path, dataset: str = "", reading: Reading = STRICT, queries: Queries | None = None
) -> Iterator[Example]:
    """The records of a file in order, each an Example of one type; without `dataset`, it has the file's name.

    `queries` is filled on the way.
    """
    ignored, queries = reading.ignored, {} if queries is None else queries

    def read(numbered: tuple[int, object]) -> tuple[Example | None, int]:
        number, record = numbered
        label, query, places = _check(record)
        label = TYPE_NAMES.get(label, label)
        known, first = queries.setdefault(label, (query, number))
        if query != known:
            raise Wrong("other_query", f"'query' is not that of record {first}, which asks about {label!r}, too")
        if label in ignored:
            return None, len(places)
        context = record["context"]
        noted: Counter = Counter()
        found = [
            spelled(context, label, None, *place, noted, f"entity {index}") for index, place in enumerate(places, 1)
        ]
        entities = in_text_order(found, noted)
        reading.note_all(noted)
        return Example(context, (label,), entities, dataset or path.stem, format=FORMAT), 0

    records = ((number, (number, record)) for number, record in enumerate(read_list(path), 1))
    return reading.examples(path, records, read)


def whole_sentences(path: Path, dataset: str = "", reading: Reading = STRICT) -> Iterator[Example]:
    """The sentences of a file in order, each with the types that are asked of it; arguments as for `questions`.

    The records of a sentence follow each other. A second question about a type begins a sentence of the same text.
    """
    return together(questions(path, dataset, reading))


def _check(record: object) -> tuple[str, str, list[tuple[int, int]]]:
    """Type as it is written, query, and the entities' characters in the sentence's order."""
    check_record(record, "context", "query", "entity_label", "start_position", "end_position")
    query = check_text(record["query"], "bad_query", "'query'")
    label = normalize_type(check_text(record["entity_label"], "bad_type", "'entity_label'"))
    context = record["context"]
    tokens = [found.span() for found in _TOKEN.finditer(context)]
    spans = _spans(record, len(tokens))
    impossible = record.get("impossible", not spans)
    if impossible is not (not spans):
        given = f"{len(spans)} span{'s' if len(spans) != 1 else ''}"
        given_as = str(impossible).lower() if isinstance(impossible, bool) else kind_of(impossible)
        raise Wrong("bad_impossible", f"'impossible' is {given_as}, the record has {given}")
    return label, query.strip(), [(tokens[start][0], tokens[end][1]) for start, end in spans]


def _spans(record: Mapping[str, object], tokens: int) -> list[tuple[int, int]]:
    """First and last token of each entity, sorted. `span_position` pairs what nesting would leave ambiguous."""
    starts, ends = (_positions(record[key], key) for key in ("start_position", "end_position"))
    if "span_position" not in record:
        if len(starts) != len(ends):
            raise Wrong("bad_positions", f"{len(starts)} start and {len(ends)} end positions, without 'span_position'")
        spans = list(zip(starts, ends, strict=True))
    else:
        written = record["span_position"] if isinstance(record["span_position"], list) else [None]
        matches = [isinstance(item, str) and _SPAN.fullmatch(item) for item in written]
        if not all(matches):
            raise Wrong("bad_positions", "'span_position' is not a list of texts such as \"2;3\"")
        spans = [(int(match[1]), int(match[2])) for match in matches]
        if {start for start, _ in spans} != set(starts) or {end for _, end in spans} != set(ends):
            raise Wrong("bad_positions", "'span_position' is not what 'start_position' and 'end_position' say")
    for start, end in spans:
        if not 0 <= start <= end < tokens:
            raise Wrong("bad_positions", f"span {start} to {end} is none of the {tokens} tokens of 'context'")
    return sorted(spans)


def _positions(value: object, key: str) -> list[int]:
    if not isinstance(value, list) or not all(type(position) is int for position in value):
        raise Wrong("bad_positions", f"{key!r} is not a list of whole numbers")
    return value
