"""What is wrong with an answer: each entity that gold and answer don't agree on, in one of eight classes.

    classify(Example("EU rejects German call .", ("group", "misc"), (Entity("EU", "group"),)), parse(completion))
    [Error("boundary", Entity("EU", "group"), Span(0, 2, "group"), Entity("EU rejects", "group"), Span(0, 10, "group"))]

unparsable         no entities could be read from the answer; one error, and the gold entities are counted nowhere else
off-schema         predicted with a type that was not asked for
not in the text    predicted, but the sentence has no such text
type               right place, another type
boundary           right type, overlapping a gold entity
boundary and type  overlapping a gold entity of another type
spurious           predicted where the gold has nothing left
missed             gold, and nothing predicted is left for it

An entity takes the first class that fits, and each gold entity answers for one predicted entity at most, so among
parsed answers gold = matched + missed + type + boundary + boundary and type, and predicted = matched + all the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from recipe.core.align import Span, locate, occurs
from recipe.core.entities import Answer, Entity, Example

KINDS = (
    "missed", "spurious", "boundary", "type", "boundary and type", "off-schema", "not in the text", "unparsable",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Error:
    """One disagreement: what the gold says and what the answer says, each with its place, as far as there is one."""

    kind: str
    gold: Entity | None = None
    gold_span: Span | None = None
    predicted: Entity | None = None
    predicted_span: Span | None = None


def classify(example: Example, answer: Answer) -> list[Error]:
    """The errors of one answer, in the order of the table above; empty for a right one."""
    if not answer.parsed:
        return [Error("unparsable")]
    sentence = example.sentence
    gold = list(zip(example.entities, locate(sentence, example.entities), strict=True))
    found = list(zip(answer.entities, locate(sentence, answer.entities), strict=True))
    _drop_matched(gold, found)
    schema = frozenset(example.types)
    errors, rest = [], []
    for entity, span in found:
        if entity.type not in schema:
            errors.append(Error("off-schema", None, None, entity, span))
        elif span is None and not occurs(sentence, entity.name):
            errors.append(Error("not in the text", None, None, entity))
        else:
            rest.append((entity, span))
    for kind, fits in (("type", _same_place), ("boundary", _same_type), ("boundary and type", _overlap)):
        errors += _pair(kind, fits, gold, rest)
    errors += [Error("spurious", None, None, entity, span) for entity, span in rest]
    errors += [Error("missed", entity, span) for entity, span in gold]
    return errors


_Located = list[tuple[Entity, Span | None]]


def _drop_matched(gold: _Located, found: _Located) -> None:
    """Take out of both what stands in both: the same place and type, or the same name and type with no place."""
    common = Counter(_key(*g) for g in gold) & Counter(_key(*f) for f in found)
    for entities in (gold, found):
        left = Counter(common)
        for item in list(entities):
            if left[_key(*item)] > 0:
                left[_key(*item)] -= 1
                entities.remove(item)


def _key(entity: Entity, span: Span | None) -> Span | Entity:
    return span or entity


def _pair(kind: str, fits, gold: _Located, found: _Located) -> list[Error]:
    """Pair gold and predicted entities that fit, those that share most text first, and take them out of both lists."""
    pairs = sorted(
        (-_shared(g[1], f[1]), g[1], f[1], i, j)
        for i, g in enumerate(gold)
        for j, f in enumerate(found)
        if g[1] and f[1] and fits(g[1], f[1])
    )
    used_gold: set[int] = set()
    used_found: set[int] = set()
    errors = []
    for *_, i, j in pairs:
        if i not in used_gold and j not in used_found:
            used_gold.add(i)
            used_found.add(j)
            errors.append(Error(kind, *gold[i], *found[j]))
    gold[:] = _without(gold, used_gold)
    found[:] = _without(found, used_found)
    return errors


def _without(items: Sequence, used: set[int]) -> list:
    return [item for index, item in enumerate(items) if index not in used]


def _shared(a: Span, b: Span) -> int:
    return min(a.end, b.end) - max(a.start, b.start)


def _same_place(a: Span, b: Span) -> bool:
    return (a.start, a.end) == (b.start, b.end)


def _overlap(a: Span, b: Span) -> bool:
    return _shared(a, b) > 0


def _same_type(a: Span, b: Span) -> bool:
    return a.type == b.type and _overlap(a, b)
