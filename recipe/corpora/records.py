"""One record of a corpus: what it must hold, and what is wrong with it where it doesn't.

A function that doesn't know the file raises Wrong; the reader of the file, with `refuse`, makes that a DataError.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from recipe.core.entities import IGNORED_TYPES, DataError, Entity, has_lone_surrogate, normalize_type

# Residual labels that can be kept in the schema; the rest of IGNORED_TYPES says that there is no label.
RESIDUAL_TYPES = frozenset({"else", "misc", "other"})


class Wrong(ValueError):
    """What is wrong with a record, and the reason under which it is counted if it is skipped."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def refuse(where: str, wrong: Wrong, skipped: Counter | None) -> None:
    """Raise DataError for the record at `where`, or count it in `skipped`."""
    if skipped is None:
        raise DataError(f"{where}: {wrong}; correct it or skip such records") from wrong
    skipped[wrong.reason] += 1


def ignored_types(keep_else: bool) -> frozenset[str]:
    """The labels that name no type; with `keep_else`, `else`, `misc` and `other` are types like any other."""
    return IGNORED_TYPES - RESIDUAL_TYPES if keep_else else IGNORED_TYPES


def check_labels(path: Path, labels: Iterable[object]) -> None:
    """DataError unless each of a file's labels is a string that can be written to a file."""
    for number, label in enumerate(labels, 1):
        if not isinstance(label, str) or has_lone_surrogate(label):
            raise DataError(f"{path}: record {number}: a type name must be a string of valid text")


def sentences_of(path: Path, records: Iterable[object]) -> Iterator[str]:
    """The `sentence` of each record. DataError for a record that has none."""
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict) or not isinstance(record.get("sentence"), str):
            raise DataError(f"{path}: record {number}: has no 'sentence' string; this must be an InstructUIE split")
        yield record["sentence"]


def check_record(record: object, sentence: str, *others: str) -> None:
    """An object with these keys, the text of a sentence under the first."""
    if not isinstance(record, dict):
        raise Wrong("not_an_object", f"{kind_of(record)}, not an object")
    for key in (sentence, *others):
        if key not in record:
            raise Wrong(f"no_{key}", f"lacks {key!r}")
    check_text(record[sentence], "bad_sentence", repr(sentence))


def read_entities(
    records: object, name_key: str, type_key: str, types: tuple[str, ...], ignored: Collection[str]
) -> tuple[tuple[Entity, ...], int]:
    """The entities, and how many were left out because their type is a residual label."""
    if not isinstance(records, list):
        raise Wrong("bad_entities", f"'entities' is {kind_of(records)}, not a list")
    found = []
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise Wrong("bad_entity", f"entity {number} is {kind_of(record)}, not an object")
        for key in (name_key, type_key):
            if not isinstance(record.get(key), str):
                what = f"has {kind_of(record[key])} as {key!r}" if key in record else f"lacks {key!r}"
                raise Wrong("bad_entity", f"entity {number} {what}")
        name = check_text(record[name_key], "bad_name", f"{name_key!r} of entity {number}")
        label = normalize_type(record[type_key])
        if label in ignored:
            continue
        if label not in types:
            raise Wrong("unknown_type", unknown_type(f"entity {number}", label, types))
        found.append(Entity(name, label))
    return tuple(found), len(records) - len(found)


def unknown_type(entity: str, label: str, types: Sequence[str]) -> str:
    """What is wrong with an entity of a type that can't be asked for."""
    return f"{entity} is of type {label[:80]!r}, which is none of the {len(types)} types it may have"


def read_schema(labels: object, key: str, ignored: Collection[str]) -> tuple[str, ...]:
    """The types of one record, from its `key`."""
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise Wrong(f"bad_{key}", f"{key!r} is not a list of strings")
    types = tuple(sorted({normalize_type(label) for label in labels} - set(ignored)))
    if not types or any(has_lone_surrogate(label) for label in types):
        problem = "leaves no type to ask for" if not types else "has a lone surrogate"
        raise Wrong(f"bad_{key}", f"{key!r} {problem}")
    return types


def check_text(value: object, reason: str, what: str) -> str:
    """The value itself: a string that is not blank and can be written to a file."""
    if not isinstance(value, str):
        raise Wrong(reason, f"{what} is {kind_of(value)}, not a string")
    if not value.strip():
        raise Wrong(reason, f"{what} is empty")
    if has_lone_surrogate(value):
        raise Wrong("lone_surrogate", f"{what} holds a lone surrogate (half of a UTF-16 pair)")
    return value


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null or missing"}
    return kinds.get(type(value), "a number")
