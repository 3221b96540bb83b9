"""One record of a corpus: what it must hold, and what is wrong with it where it doesn't.

A function that doesn't know the file raises Wrong; the reader of the file, with `refuse`, makes that a DataError.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import lt
from pathlib import Path

from recipe.core.entities import IGNORED_TYPES, DataError, Entity, has_lone_surrogate, normalize_type
from recipe.core.text import trimmed, visible

# Residual labels that can be kept in the schema; the rest of IGNORED_TYPES says that there is no label.
RESIDUAL_TYPES = frozenset({"else", "misc", "other"})

# Labels of pairs that stand in no relation (InstructUIE, TACRED, kbp37).
NO_RELATION = frozenset({"", "na", "n a", "nan", "no_relation", "no relation"})


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


def check_tokens(record: object, tokens: str, *lists: str) -> list[str]:
    """The tokens of an object that has them under the first key, and lists under the others."""
    if not isinstance(record, dict):
        raise Wrong("not_an_object", f"{kind_of(record)}, not an object")
    for key in (tokens, *lists):
        if not isinstance(record.get(key), list):
            raise Wrong(f"bad_{key}", f"{key!r} is {kind_of(record.get(key))}, not a list")
    for number, token in enumerate(record[tokens]):
        if not isinstance(token, str):
            raise Wrong("bad_token", f"token {number} is {kind_of(token)}, not a string")
    return record[tokens]


def read_entities(
    records: object,
    name_key: str,
    type_key: str,
    types: tuple[str, ...],
    ignored: Collection[str],
    sentence: str,
    noted: Counter,
) -> tuple[tuple[Entity, ...], int]:
    """The entities, and how many were left out because their type is a residual label.

    An entity's `pos`, a pair of characters, is its place, unless its name stands elsewhere. `noted`: see `spelled`.
    """
    if not isinstance(records, list):
        raise Wrong("bad_entities", f"'entities' is {kind_of(records)}, not a list")
    found = []
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise Wrong("bad_entity", f"entity {number} is {kind_of(record)}, not an object")
        name, label = record.get(name_key), record.get(type_key)
        if type(name) is not str or type(label) is not str:
            key = name_key if type(name) is not str else type_key
            problem = f"has {kind_of(record[key])} as {key!r}" if key in record else f"lacks {key!r}"
            raise Wrong("bad_entity", f"entity {number} {problem}")
        plain = _plain(name)
        if not plain:
            check_text(name, "bad_name", f"{name_key!r} of entity {number}")
        label = _type_of(label)
        if label in ignored:
            continue
        if label not in types:
            raise Wrong("unknown_type", unknown_type(f"entity {number}", label, types))
        pos = record.get("pos")
        start = pos[0] if type(pos) is list and len(pos) == 2 and type(pos[0]) is int is type(pos[1]) else -1
        # What `spelled` says of a plain name that stands where the record says.
        if plain and start >= 0 and sentence.startswith(name, start) and label.isprintable():
            found.append(Entity(name, label, start))
        else:
            found.append(spelled(sentence, label, name, *_pos(pos, noted), noted, f"entity {number}"))
    return in_text_order(found, noted), len(records) - len(found)


_type_of = lru_cache(maxsize=4096)(normalize_type)  # a corpus has few types, and names them often


def _plain(text: str) -> bool:
    """True only for text of which all is seen, from end to end, so that it has no lone surrogate either."""
    return text.isprintable() and text[:1] != " " != text[-1:] and text != ""


def _pos(value: object, noted: Counter) -> tuple[int | None, int | None]:
    """Start and end of a `pos`; none where it says nothing."""
    if isinstance(value, list) and len(value) == 2 and all(type(at) is int for at in value):
        return value[0], value[1]
    if value not in (None, []):  # B2NERD leaves it out or empty
        noted["contradicting_place"] += 1
    return None, None


def in_text_order(entities: Iterable[Entity], noted: Counter) -> tuple[Entity, ...]:
    """By place, the longer first, then by type; behind them those without a place as they come. Repeated ones once."""
    entities = tuple(entities)
    if len(entities) < 2:
        return entities
    starts = [entity.start for entity in entities]
    if None not in starts and all(map(lt, starts, starts[1:])):  # as most corpora have them
        return entities
    found: dict[object, Entity] = {}
    for number, entity in enumerate(entities):
        key = (entity.name, entity.type, entity.start) if entity.start is not None else number
        if key in found:
            noted["repeated_entity"] += 1
        else:
            found[key] = entity
    placed = [entity for entity in found.values() if entity.start is not None]
    placed.sort(key=lambda entity: (entity.start, -len(entity.name), entity.type))
    return (*placed, *(entity for entity in found.values() if entity.start is None))


def spelled(
    text: str, label: str, name: str | None, start: int | None, end: int | None, noted: Counter, what: str = "an entity"
) -> Entity:
    """The entity with its name as it is seen in the text, and its place unless that contradicts the name.

    `noted` counts `trimmed_name` (something invisible at its ends was taken off), `respelled_name` (other white space
    than in the text) and `contradicting_place` (the name isn't there: it decides). Wrong for a place outside of the
    text, where no name is given, and for a name of which nothing is seen.
    """
    if has_lone_surrogate(label + (name or "")):
        raise Wrong("lone_surrogate", f"{what} holds a lone surrogate (half of a UTF-16 pair)")
    if name is None:
        if start is None or end is None or not 0 <= start < end <= len(text):
            raise Wrong("bad_place", f"{what} is at {start} to {end} of {len(text)} characters")
        name = text[start:end]
    before, seen = trimmed(name)
    if not seen:
        raise Wrong("bad_name", f"{what} has a name of which nothing is seen ({name[:40]!r})")
    if seen != name:
        noted["trimmed_name"] += 1
    if start is None:
        return Entity(seen, label)
    for at in (start + before, start):
        if start >= 0 and text.startswith(seen, at):
            return Entity(seen, label, at)
    there = text[start:end] if end is not None and 0 <= start < end else ""
    if visible(there) == visible(seen):
        noted["respelled_name"] += 1
        before, there = trimmed(there)
        return Entity(there, label, start + before)
    noted["contradicting_place"] += 1
    return Entity(seen, label)


def unknown_type(entity: str, label: str, types: Sequence[str]) -> str:
    """What is wrong with an entity or a relation of a type that can't be asked for."""
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
    """The value itself: a string of which something is seen and that can be written to a file."""
    if not isinstance(value, str):
        raise Wrong(reason, f"{what} is {kind_of(value)}, not a string")
    if _plain(value):
        return value
    if not trimmed(value)[1]:
        raise Wrong(reason, f"{what} is empty" if not value.strip() else f"{what} has nothing that is seen")
    if has_lone_surrogate(value):
        raise Wrong("lone_surrogate", f"{what} holds a lone surrogate (half of a UTF-16 pair)")
    return value


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null or missing"}
    return kinds.get(type(value), "a number")
