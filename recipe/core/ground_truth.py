"""The gold of a Parquet row, as text: what scoring an answer needs.

    {"types": ["person"], "entities": [{"name": "Ada", "type": "person"}], "sentence": "Ada met Bob"}

JSON, because a nested Parquet column would become an Arrow struct with the union of all keys. `format` is there where
it isn't the default. An entity has `start`, its place in characters, in a sentence where `recipe.core.align` would look
for one of them elsewhere; so most rows say nothing of places, and every place is known.
"""

import json
from dataclasses import replace

from recipe.core.align import locate, place
from recipe.core.entities import DEFAULT_FORMAT, DataError, Entity, Example


def to_ground_truth(example: Example) -> str:
    """The text of an example's types, entities and sentence."""
    entities = [{"name": entity.name, "type": entity.type} for entity in example.entities]
    if _stand_elsewhere(example):
        for value, entity in zip(entities, example.entities, strict=True):
            if entity.start is not None:
                value["start"] = entity.start
    value = {"types": list(example.types), "entities": entities, "sentence": example.sentence}
    if example.format != DEFAULT_FORMAT:
        value["format"] = example.format
    return _to_json(value)


_to_json = json.JSONEncoder(ensure_ascii=False).encode


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
    """The example (sentence, types, entities) that `to_ground_truth` wrote; DataError for anything else."""
    try:
        value = json.loads(text)
        sentence, types, name = value["sentence"], value["types"], value.get("format", DEFAULT_FORMAT)
        entities = [Entity(entity["name"], entity["type"], entity.get("start")) for entity in value["entities"]]
        strings = [sentence, name, *types, *[e.name for e in entities], *[e.type for e in entities]]
        if not type(types) is type(value["entities"]) is list or set(map(type, strings)) != {str}:
            raise TypeError("a list or a string is something else")
        if not all(entity.start is None or _stands(sentence, entity) for entity in entities):
            raise ValueError("an entity does not stand where it says")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        told = f"ground truth: {str(text)[:60]!r} is not what data_prep/to_parquet.py writes"
        raise DataError(f"{told}; write the Parquet file again") from error
    return Example(sentence, tuple(types), tuple(entities), format=name)


def _stands(sentence: str, entity: Entity) -> bool:
    return type(entity.start) is int and entity.start >= 0 and sentence.startswith(entity.name, entity.start)
