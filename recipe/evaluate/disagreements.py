"""What is wrong with an answer: each entity that gold and answer don't agree on, in one of eight classes.

    example = Example("EU rejects German call .", ("group", "misc"), (Entity("EU", "group"),))
    recipe.evaluate.verdict.compare(example, '{"entities": {"group": ["EU rejects"]}}').disagreements
    (Disagreement("boundary", Entity("EU", "group"), Span(0, 2, "group"),
                  Entity("EU rejects", "group"), Span(0, 10, "group")),)

unparsable         the answer can't be read; one disagreement, and its gold entities are counted nowhere else
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

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recipe.core.align import Span, occurs
from recipe.core.entities import Answer, Entity, Example

KINDS = (
    "missed", "spurious", "boundary", "type", "boundary and type", "off-schema", "not in the text", "unparsable",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What the gold says and what the answer says, each with its place if it has one."""

    kind: str
    gold: Entity | None = None
    gold_span: Span | None = None
    predicted: Entity | None = None
    predicted_span: Span | None = None


_Located = list[tuple[Entity, Span | None]]


def classify(
    example: Example, answer: Answer, gold_spans: Sequence[Span | None], predicted_spans: Sequence[Span | None]
) -> list[Disagreement]:
    """The disagreements of one answer, in the order of the table above; none for a right answer.

    The spans are the places that recipe.core.align.locate gives the entities of example and answer.
    """
    if not answer.parsed:
        return [Disagreement("unparsable")]
    gold: _Located = list(zip(example.entities, gold_spans, strict=True))
    found: _Located = list(zip(answer.entities, predicted_spans, strict=True))
    _drop_matched(gold, found)
    disagreements, rest = [], []
    for entity, span in found:
        if entity.type not in example.types:
            disagreements.append(Disagreement("off-schema", None, None, entity, span))
        elif span is None and not occurs(example.sentence, entity.name):
            disagreements.append(Disagreement("not in the text", None, None, entity))
        else:
            rest.append((entity, span))
    for kind, fits in (("type", _same_place), ("boundary", _same_type), ("boundary and type", _overlap)):
        disagreements += _pair(kind, fits, gold, rest)
    disagreements += [Disagreement("spurious", None, None, entity, span) for entity, span in rest]
    disagreements += [Disagreement("missed", entity, span) for entity, span in gold]
    return disagreements


def _drop_matched(gold: _Located, found: _Located) -> None:
    """Take out of both what both have: the same place and type, or the same name and type with no place."""
    common = Counter(span or entity for entity, span in gold) & Counter(span or entity for entity, span in found)
    for entities in (gold, found):
        left, kept = Counter(common), []
        for entity, span in entities:
            left[span or entity] -= 1
            if left[span or entity] < 0:
                kept.append((entity, span))
        entities[:] = kept


def _pair(kind: str, fits: Callable[[Span, Span], bool], gold: _Located, found: _Located) -> list[Disagreement]:
    """Pair gold and predicted entities that fit, most shared text first, and take them out of both lists."""
    pairs = sorted(
        (-_shared(g[1], f[1]), g[1], f[1], i, j)
        for i, g in enumerate(gold)
        for j, f in enumerate(found)
        if g[1] and f[1] and fits(g[1], f[1])
    )
    used: dict[int, int] = {}  # place in `gold` -> place in `found`
    for *_, i, j in pairs:
        if i not in used and j not in used.values():
            used[i] = j
    paired = [Disagreement(kind, *gold[i], *found[j]) for i, j in used.items()]
    gold[:] = [item for i, item in enumerate(gold) if i not in used]
    found[:] = [item for j, item in enumerate(found) if j not in used.values()]
    return paired


def _shared(a: Span, b: Span) -> int:
    return min(a.end, b.end) - max(a.start, b.start)


def _same_place(a: Span, b: Span) -> bool:
    return (a.start, a.end) == (b.start, b.end)


def _overlap(a: Span, b: Span) -> bool:
    return _shared(a, b) > 0


def _same_type(a: Span, b: Span) -> bool:
    return a.type == b.type and _overlap(a, b)
