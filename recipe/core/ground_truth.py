"""The gold of a Parquet row, as text: what scoring an answer needs.

    {"types": ["person"], "entities": [{"name": "Ada", "type": "person"}], "sentence": "Ada met Bob"}

JSON, because a nested Parquet column would become an Arrow struct with the union of all keys. `format` is there where
it isn't the default. An entity has `start`, its place in characters, in a sentence where `recipe.core.align` would look
for one of them elsewhere; so most rows say nothing of places, and every place is known. Where relations are asked for,
there are their types, the last of `types`, and those of the gold; head and tail have `type` and `start` where known,
and so has each entity, since the place says which of two triggers that are alike an argument belongs to:

    "relation_types": ["born in"], "relations": [{"head": {"name": "Ada", "start": 0}, "type": "born in", "tail": ...}]
"""

import json
from dataclasses import replace

from recipe.core.align import locate, place
from recipe.core.entities import DEFAULT_FORMAT, DataError, Entity, Example, Relation


def to_ground_truth(example: Example) -> str:
    """The text of an example's types, entities and sentence."""
    entities = [{"name": entity.name, "type": entity.type} for entity in example.entities]
    if example.relation_types or _stand_elsewhere(example):
        for value, entity in zip(entities, example.entities, strict=True):
            if entity.start is not None:
                value["start"] = entity.start
    value = {"types": list(example.types), "entities": entities, "sentence": example.sentence}
    if example.relation_types:
        value["relation_types"] = list(example.relation_types)
        value["relations"] = list(map(_of_relation, example.relations))
    if example.format != DEFAULT_FORMAT:
        value["format"] = example.format
    return _to_json(value)


_to_json = json.JSONEncoder(ensure_ascii=False).encode


def _of_relation(relation: Relation) -> dict:
    def end(mention: Entity) -> dict:
        told = {"type": mention.type or None, "start": mention.start}
        return {"name": mention.name, **{key: value for key, value in told.items() if value is not None}}

    return {"head": end(relation.head), "type": relation.type, "tail": end(relation.tail)}


def _stand_elsewhere(example: Example) -> bool:
    if all(entity.start is None for entity in example.entities):
        return False
    if _one_place_each(example):
        return False
    unplaced = [replace(entity, start=None) for entity in example.entities]
    return locate(example.sentence, unplaced) != place(example.sentence, example.entities)


def _one_place_each(example: Example) -> bool:
    """True only for names that stand once in the sentence, each given once, where all of both is seen as it is written.

    Then to find them needs no rule: it is the common case, and a fraction of the time.
    """
    sentence, seen = example.sentence, set()
    if not (sentence.isascii() and sentence.isprintable()) or "  " in sentence:
        return False
    for entity in example.entities:
        name, start = entity.name, entity.start
        if start is None or name[:1] in " " or name[-1:] == " " or (name, entity.type) in seen:
            return False
        if sentence.find(name) != start or sentence.find(name, start + 1) >= 0:
            return False
        seen.add((name, entity.type))
    return True


def from_ground_truth(text: str) -> Example:
    """The example (sentence, types, gold) that `to_ground_truth` wrote; DataError for anything else."""
    try:
        value = json.loads(text)
        sentence, types, name = value["sentence"], value["types"], value.get("format", DEFAULT_FORMAT)
        entities = [Entity(entity["name"], entity["type"], entity.get("start")) for entity in value["entities"]]
        relations, of_relations = _read_relations(value, types) if "relation_types" in value else ((), ())
        mentions = [*entities, *[mention for each in relations for mention in each.mentions]]
        strings = [sentence, name, *types, *[e.name for e in mentions], *[e.type for e in mentions]]
        if not type(types) is type(value["entities"]) is list or set(map(type, strings)) != {str}:
            raise TypeError("a list or a string is something else")
        if not all(entity.start is None or _stands(sentence, entity) for entity in mentions):
            raise ValueError("an entity does not stand where it says")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        told = f"ground truth: {str(text)[:60]!r} is not what data_prep/to_parquet.py writes"
        raise DataError(f"{told}; write the Parquet file again") from error
    return Example(
        sentence, tuple(types), tuple(entities), format=name, relations=relations, relation_types=of_relations
    )


def _read_relations(value: dict, types: list) -> tuple[tuple[Relation, ...], tuple[str, ...]]:
    """Relations and their types; an error for what is no relation."""
    of_relations = value["relation_types"]
    if type(of_relations) is not list or types[-len(of_relations) :] != of_relations:
        raise ValueError("the types of relations are not the last of all types")

    def end(told: dict) -> Entity:
        return Entity(told["name"], told.get("type", ""), told.get("start"))

    found = [Relation(end(each["head"]), each["type"], end(each["tail"])) for each in value["relations"]]
    if any(type(each.type) is not str for each in found):
        raise TypeError("a relation's type is no string")
    return tuple(found), tuple(of_relations)


def _stands(sentence: str, entity: Entity) -> bool:
    return type(entity.start) is int and entity.start >= 0 and sentence.startswith(entity.name, entity.start)
