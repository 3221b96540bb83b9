"""InstructUIE's layout of relations: records of a sentence and the triples in it.

    {"sentence": "Ada left Rome", "relations": [{"head": {"name": "Ada"}, "type": "left", "tail": {"name": "Rome"}}]}

Head and tail may have a `type`, and a `pos` of two characters, the end exclusive; a text alone is a name. Entities are
read with `text` and `label`, too, which NER-CoT writes for `name` and `type`. A type that is `NA` or empty says
that there is no relation. A list `labels.json` beside the splits has the types of relations.
"""

from collections.abc import Hashable

from recipe.corpora.annotated import Annotated, Mention, Tie
from recipe.corpora.record_layout import RecordLayout
from recipe.corpora.records import Wrong, check_record, kind_of


def fits(record: object) -> bool:
    """True for a sentence with relations and without a list of entities, which would make it a row of names."""
    return fits_with_entities(record) and "entities" not in record


def fits_with_entities(record: object) -> bool:
    """True for a sentence with relations, whatever else it has."""
    return isinstance(record, dict) and {"sentence", "relations"} <= record.keys() and type(record["sentence"]) is str


def read(record: object, _context: Hashable) -> Annotated:
    """The sentence, its triples and, where it has them, its entities; raises Wrong."""
    check_record(record, "sentence", "relations")
    relations, entities = record["relations"], record.get("entities") or []
    for name, items in (("relations", relations), ("entities", entities)):
        if not isinstance(items, list):
            raise Wrong(f"bad_{name}", f"{name!r} is {kind_of(items)}, not a list")
    mentions = [_mention(entity, f"entity {number}") for number, entity in enumerate(entities, 1)]
    ties = []
    for number, relation in enumerate(relations, 1):
        what = f"relation {number}"
        if not isinstance(relation, dict):
            raise Wrong("bad_relation", f"{what} is {kind_of(relation)}, not an object")
        label = relation.get("type")
        if not isinstance(label, str):
            raise Wrong("bad_relation", f"{what} has {kind_of(label)} as 'type', not a string")
        ends = [_mention(relation.get(end), f"{end} of {what}") for end in ("head", "tail")]
        ties.append(Tie(_place(ends[0], mentions), label, _place(ends[1], mentions)))
    return Annotated(record["sentence"], tuple(mentions), ties=tuple(ties))


def _mention(value: object, what: str) -> Mention:
    value = {"name": value} if isinstance(value, str) else value
    name = value.get("name", value.get("text")) if isinstance(value, dict) else None
    if not isinstance(name, str):
        problem = kind_of(value) if not isinstance(value, dict) else "without a string 'name'"
        raise Wrong("bad_relation", f"{what} is {problem}; {{'name': text}} is needed")
    label, pos = value.get("type", value.get("label")) or "", value.get("pos")
    if not isinstance(label, str):
        raise Wrong("bad_relation", f"{what} has {kind_of(label)} as 'type', not a string")
    placed = isinstance(pos, list) and len(pos) == 2 and all(type(at) is int for at in pos)
    start, end = pos if placed else (None, None)
    return Mention(label, start, end, name)


def _place(end: Mention, mentions: list[Mention]) -> int:
    """Where the mention is in the list, to which one that isn't there yet is added; a bare name is any of that name."""
    for number, mention in enumerate(mentions):
        if mention == end or (mention.name == end.name and not end.label and end.start is None):
            return number
    mentions.append(end)
    return len(mentions) - 1


_SHAPE = '{"sentence", "relations": [{"head", "type", "tail"}]}'
LAYOUT = RecordLayout("InstructUIE relations", _SHAPE, fits, read, TASKS=("re",))
WITH_ENTITIES = RecordLayout("InstructUIE relations", _SHAPE, fits_with_entities, read, TASKS=("re",))
