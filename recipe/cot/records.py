"""A record of a user's file as a row to annotate; recipe.cot.rows shows the records.

read_row({"text": "Ada met Bob .", "types": ["person"]}, "news.jsonl, record 1", "news", Asked(None))
Row("Ada met Bob .", "news", ("person",))
"""

from collections import Counter
from dataclasses import dataclass, replace

from recipe import answers
from recipe.core.entities import (
    DEFAULT_FORMAT,
    IGNORED_TYPES,
    DataError,
    Entity,
    Example,
    clean_types,
    has_lone_surrogate,
    normalize_type,
)
from recipe.core.ground_truth import from_ground_truth
from recipe.corpora import own_types
from recipe.corpora.reading import STRICT
from recipe.corpora.records import Wrong, kind_of, read_entities
from recipe.corpora.texts import check_types
from recipe.cot.row import Row, of_example


@dataclass(slots=True)
class Asked:
    """What rows are asked: in `format`, which the first row says where it is None, and for types that a row lacks."""

    format: str | None
    types: tuple[str, ...] | None = None
    relation_types: tuple[str, ...] = ()


def read_row(value: object, where: str, name: str, asked: Asked) -> Row:
    """The row of one record. Wrong or DataError for a record that is not a row."""
    if not isinstance(value, dict):
        raise Wrong("not_an_object", f"{kind_of(value)}, not an object")
    source = value.get("source", value.get("data_source")) or name
    if not isinstance(source, str) or has_lone_surrogate(source):
        raise Wrong("bad_source", "'source' is no string that can be written to a file")
    if "reward_model" in value:
        try:
            example = from_ground_truth(value["reward_model"]["ground_truth"])
        except (KeyError, TypeError, DataError) as error:
            raise DataError(f"{where}: no gold in reward_model; write the Parquet file again") from error
        name = _format(asked, answers.task(example.format), example.format, names=True)
        return _asked_in(replace(example, dataset=source), name)
    given = [key for key in ("sentence", "text") if key in value]
    if len(given) != 1 or not isinstance(value[given[0]], str):
        raise Wrong("bad_sentence", "it needs one string, 'sentence' or 'text'")
    value = {**value, "sentence": value[given[0]]}
    of_row, named = own_types.task_of(value), value.get("entities") is not None
    if asked.format is None and named and own_types.RELATION_TYPES not in value:
        asked.format = DEFAULT_FORMAT  # as in a corpus, names come before relations where a record has both
    format = _format(asked, of_row, names=named)
    types, relation_types = _types(value, where, format, asked)
    task = answers.task(format)
    if task == "ner" and named:
        types, gold = _gold(value["entities"], types, value["sentence"])
        return Row(value["sentence"], source, types, gold)
    if task == "ner" or task != of_row:
        return Row(value["sentence"], source, types, format=format, relation_types=relation_types)
    both, kinds = answers.two_kinds(format), (None, None)
    if types is not None:  # of relations alone, entities may be of any type
        kinds = types[: len(types) - len(relation_types)] if both else None, relation_types
    example = own_types.example_with(value, task, *kinds, source, STRICT)
    if example.relations or (example.relation_types and (example.entity_types or not both)):
        return _asked_in(example, format)
    return Row(value["sentence"], source, None, example.facts if both else example.relations, format)


def _format(asked: Asked, task: str, own: str | None = None, *, names: bool) -> str:
    """The answer format that a row is asked in. `task`: what it has, "ner" where it has no gold; `own`: its format.

    Wrong for a row of another task than is asked for, unless it has names and these are asked for.
    """
    format = DEFAULT_FORMAT if task == "ner" else own or answers.formats_of(task)[0]
    if asked.format is None:
        asked.format = format
    wanted = answers.task(asked.format)
    if wanted != task != "ner" and not (wanted == "ner" and names):
        has, whose = (answers.subject(each).lower() for each in (format, asked.format))
        raise Wrong("other_task", f"has {has}, and {whose} are asked for (--task {wanted})")
    return asked.format


def _asked_in(example: Example, format: str) -> Row:
    """The row of an example with gold, asked in a format. Wrong where its source doesn't say what that needs."""
    try:
        example = answers.asked_in(example, format)
    except DataError as error:
        raise Wrong("other_task", str(error).removeprefix(f"{example.dataset}: ")) from error
    if not example.types:
        raise Wrong("other_task", f"asks for no {answers.subject(format).lower()}")
    return of_example(example)


def _types(value: dict, where: str, format: str, asked: Asked) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """All types that a record is asked for, or None, and the last of them, those of relations."""
    own, own_relation_types = value.get("types", value.get("schema")), value.get("relation_types")
    if own is None and own_relation_types is None:
        if asked.types is None:
            return None, ()
        if asked.relation_types and answers.task(format) == "ner":
            raise DataError("--relation-types: named entities have none; say --task, too")
        return answers.asked_types(format, asked.types, asked.relation_types)
    own = check_types(own, where) if own or own_relation_types is None else ()
    own_relation_types = check_types(own_relation_types, where) if own_relation_types is not None else ()
    if answers.two_kinds(format):
        if not own or not own_relation_types:
            raise Wrong("bad_types", "it needs both 'types', of entities or events, and 'relation_types', or neither")
        return (*own, *own_relation_types), own_relation_types
    if answers.task(format) == "ner":
        return check_types(own, where), ()
    return own_relation_types or own, own_relation_types or own


def _gold(
    records: object, types: tuple[str, ...] | None, sentence: str
) -> tuple[tuple[str, ...] | None, tuple[Entity, ...]]:
    """The types of a row, by default the types of its gold, and the gold."""
    first = records[0] if isinstance(records, list) and records and isinstance(records[0], dict) else {}
    name_key, type_key = ("name" if "name" in first else "text"), ("type" if "type" in first else "label")
    if types is None and isinstance(records, list):
        labels = [record.get(type_key) for record in records if isinstance(record, dict)]
        types = clean_types(normalize_type(label) for label in labels if isinstance(label, str)) or None
    ignored = IGNORED_TYPES - set(types or ())
    entities, _ = read_entities(records, name_key, type_key, types or (), ignored, sentence, Counter())
    return types, entities
