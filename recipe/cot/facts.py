"""Entities and relations as the files of the steps have them.

    gold, of annotate.jsonl       ["Ada", "person"], and a relation ["Ada", "person", "born in", "Rome", "city"]
    what is there, of validate    {"text": "Ada", "label": "person", "start": 0, "end": 3}, and a relation
                                  {"head": ENTITY, "type": "born in", "tail": ENTITY}

As everywhere, an event is its trigger, an entity of the event's type, and its arguments, relations from the trigger.
Rows of names have neither `format` nor `relation_types` nor relations.
"""

from collections.abc import Mapping, Sequence

from recipe.core.entities import DEFAULT_FORMAT, Entity, Example, Fact, Relation, normalize_type


def to_texts(fact: Fact) -> list[str]:
    """A fact of the gold as a list of texts."""
    if isinstance(fact, Relation):
        return [fact.head.name, fact.head.type, fact.type, fact.tail.name, fact.tail.type]
    return [fact.name, fact.type]


def of_texts(texts: Sequence[str]) -> Fact:
    """The fact that `to_texts` wrote."""
    if len(texts) == 2:
        return Entity(texts[0], normalize_type(texts[1]))
    head, head_type, label, tail, tail_type = texts
    return Relation(
        Entity(head, normalize_type(head_type)), normalize_type(label), Entity(tail, normalize_type(tail_type))
    )


def question(name: str, relation_types: Sequence[str]) -> dict[str, object]:
    """What a record says, besides `types`, of how a row in an answer format is asked; nothing for names."""
    return {} if name == DEFAULT_FORMAT else {"format": name, "relation_types": list(relation_types)}


def asked(record: Mapping) -> Example:
    """The sentence of a record of any step and what is asked of it, without its facts."""
    return Example(
        record["sentence"],
        tuple(record["types"] or ()),
        dataset=record.get("source", ""),
        format=record.get("format", DEFAULT_FORMAT),
        relation_types=tuple(record.get("relation_types") or ()),
    )


def to_fields(example: Example) -> dict[str, list[dict]]:
    """What a record of validate.jsonl has of an example: `entities` and, but of names, `relations`."""
    fields = {"entities": [_to_object(entity) for entity in example.entities]}
    if example.format != DEFAULT_FORMAT:
        fields["relations"] = [
            {"head": _to_object(one.head), "type": one.type, "tail": _to_object(one.tail)} for one in example.relations
        ]
    return fields


def of_fields(record: Mapping) -> tuple[tuple[Entity, ...], tuple[Relation, ...]]:
    """Entities and relations of a record of validate.jsonl, with their places."""
    relations = (
        Relation(_of_object(one["head"]), one["type"], _of_object(one["tail"])) for one in record.get("relations", ())
    )
    return tuple(map(_of_object, record["entities"])), tuple(relations)


def _to_object(entity: Entity) -> dict[str, object]:
    end = None if entity.start is None else entity.start + len(entity.name)
    return {"text": entity.name, "label": entity.type, "start": entity.start, "end": end}


def _of_object(value: Mapping) -> Entity:
    return Entity(value["text"], value["label"], value.get("start"))
