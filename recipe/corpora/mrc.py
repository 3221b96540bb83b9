"""Named entities as reading comprehension: the JSON files of "A Unified MRC Framework for NER" (Li et al., ACL 2020).

    [{"context": "EU rejects German call", "query": "organization entities are ...", "entity_label": "ORG",
      "qas_id": "0.1", "impossible": false, "start_position": [0], "end_position": [0], "span_position": ["0;0"]}]

A record is one type asked of one sentence. Positions are those of tokens, which white space parts, from 0; the end is
inclusive. A record whose sentence has no entity of the type (`impossible`) is an example like any other, with an empty
answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from recipe.answers.queries import FORMAT, in_order
from recipe.core.entities import Entity, Example, normalize_type
from recipe.corpora.json_files import read_list
from recipe.corpora.records import Wrong, check_text, ignored_types, kind_of, note, refuse

# CoNLL-2003's tags by the names that InstructUIE uses.
TYPE_NAMES: Mapping[str, str] = {"per": "person", "loc": "location", "org": "organization"}

_KEYS = ("context", "query", "entity_label", "start_position", "end_position")
_TOKEN = re.compile(r"[^ \t\r\n]+")  # str.split() would split at a no-break space, which stands inside tokens
_SPAN = re.compile(r"([0-9]{1,9})[;,]([0-9]{1,9})")


def read_mrc(
    path: Path,
    dataset: str = "",
    skipped: Counter | None = None,
    noted: Counter | None = None,
    keep_else: bool = False,
    names: Mapping[str, str] = TYPE_NAMES,
) -> Iterator[Example]:
    """The records of a file in order, each an Example of one type; without `dataset`, that is the file's name.

    `names` says what types are called. Records of a residual type are left out, unless `keep_else`; `skipped` and
    `noted` count as in `datasets.read_dataset`. DataError for a record that is wrong, unless it is counted.
    """
    for example, _ in _read(path, dataset, skipped, noted, keep_else, names):
        yield example


def read_sentences(
    path: Path,
    dataset: str = "",
    skipped: Counter | None = None,
    noted: Counter | None = None,
    keep_else: bool = False,
    names: Mapping[str, str] = TYPE_NAMES,
) -> Iterator[Example]:
    """The sentences of a file in order, each with the types that are asked of it; arguments as for `read_mrc`.

    Records of one sentence stand together. One that is there twice is two: the second question about a type begins it.
    """
    asked: list[Example] = []
    for example in read_mrc(path, dataset, skipped, noted, keep_else, names):
        if asked and (example.sentence != asked[0].sentence or example.types in [one.types for one in asked]):
            yield _whole(asked)
            asked = []
        asked.append(example)
    if asked:
        yield _whole(asked)


def _whole(asked: Sequence[Example]) -> Example:
    types = tuple(sorted(example.types[0] for example in asked))
    entities = in_order(asked[0].sentence, (entity for example in asked for entity in example.entities))
    return Example(asked[0].sentence, types, entities, asked[0].dataset)


def read_queries(path: Path, keep_else: bool = False, names: Mapping[str, str] = TYPE_NAMES) -> dict[str, str]:
    """The file's own description of each type; records that are wrong don't count here."""
    return {example.types[0]: query for example, query in _read(path, "", Counter(), None, keep_else, names)}


def _read(
    path: Path,
    dataset: str,
    skipped: Counter | None,
    noted: Counter | None,
    keep_else: bool,
    names: Mapping[str, str],
) -> Iterator[tuple[Example, str]]:
    ignored = ignored_types(keep_else)
    queries: dict[str, tuple[str, int]] = {}
    for number, record in enumerate(read_list(path), 1):
        try:
            label, query, found = _check(record)
            label = names.get(label, label)
            known, first = queries.setdefault(label, (query, number))
            if query != known:
                raise Wrong("other_query", f"'query' is not that of record {first}, which asks about {label!r}, too")
        except Wrong as wrong:
            refuse(f"{path}: record {number}", wrong, skipped)
            continue
        if label in ignored:
            if noted is not None:
                noted["residual_entity"] += len(found)
            continue
        entities = tuple(Entity(name, label) for name in found)
        yield note(Example(record["context"], (label,), entities, dataset or path.stem, format=FORMAT), 0, noted), query


def _check(record: object) -> tuple[str, str, list[str]]:
    """Type as it is written, query, and names in the sentence's order."""
    if not isinstance(record, dict):
        raise Wrong("not_an_object", f"{kind_of(record)}, not an object")
    for key in _KEYS:
        if key not in record:
            raise Wrong(f"no_{key}", f"lacks {key!r}")
    context = check_text(record["context"], "bad_sentence", "'context'")
    query = check_text(record["query"], "bad_query", "'query'")
    label = normalize_type(check_text(record["entity_label"], "bad_type", "'entity_label'"))
    tokens = [found.span() for found in _TOKEN.finditer(context)]
    spans = _spans(record, len(tokens))
    impossible = record.get("impossible", not spans)
    if impossible is not (not spans):
        given = f"{len(spans)} span{'s' if len(spans) != 1 else ''}"
        told = str(impossible).lower() if isinstance(impossible, bool) else kind_of(impossible)
        raise Wrong("bad_impossible", f"'impossible' is {told}, the record has {given}")
    return label, query.strip(), [context[tokens[start][0] : tokens[end][1]] for start, end in spans]


def _spans(record: Mapping[str, object], tokens: int) -> list[tuple[int, int]]:
    """First and last token of each entity, sorted. `span_position` pairs what nesting would leave ambiguous."""
    starts, ends = (_positions(record[key], key) for key in ("start_position", "end_position"))
    if "span_position" not in record:
        if len(starts) != len(ends):
            raise Wrong("bad_positions", f"{len(starts)} start and {len(ends)} end positions, without 'span_position'")
        spans = list(zip(starts, ends, strict=True))
    else:
        spans = _span_positions(record["span_position"])
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


def _span_positions(value: object) -> list[tuple[int, int]]:
    found = [isinstance(item, str) and _SPAN.fullmatch(item) for item in value] if isinstance(value, list) else [None]
    if not all(found):
        raise Wrong("bad_positions", "'span_position' is not a list of texts such as \"2;3\"")
    return [(int(match[1]), int(match[2])) for match in found]
