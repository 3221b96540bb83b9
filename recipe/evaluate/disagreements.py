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
Of all pairings the one is taken that has most pairs of the first class, then of the next, then most shared text; how
types are called and in which order entities are named makes no difference to the counts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from recipe.core.align import Span, occurs
from recipe.core.entities import Answer, Entity, Example, Fact
from recipe.core.pairing import best, overlapping, shared
from recipe.core.text import visible

KINDS = (
    "missed", "spurious", "boundary", "type", "boundary and type", "off-schema", "not in the text", "unparsable",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What the gold says and what the answer says, each with its place if it has one; a relation has none."""

    kind: str
    gold: Fact | None = None
    gold_span: Span | None = None
    predicted: Fact | None = None
    predicted_span: Span | None = None


_Located = list[tuple[Entity, Span | None]]


def classify(
    example: Example, answer: Answer, gold_spans: Sequence[Span | None], predicted_spans: Sequence[Span | None]
) -> list[Disagreement]:
    """The disagreements of one answer, in the order of the table above; none for a right answer.

    The spans are the places of the entities of example and answer (recipe.core.align.place).
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
    disagreements += _pair(gold, rest)
    disagreements += [Disagreement("spurious", None, None, entity, span) for entity, span in rest]
    disagreements += [Disagreement("missed", entity, span) for entity, span in gold]
    return disagreements


def _drop_matched(gold: _Located, found: _Located) -> None:
    """Take out of both what both have: the same place and type, or the same name, as it is seen, and type."""
    if not gold or not found:
        return
    sides = [(entities, [place_key(*item) for item in entities]) for entities in (gold, found)]
    common = shared(*(keys for _, keys in sides))
    if not common:
        return
    for entities, keys in sides:
        left = Counter(common)
        kept = []
        for item, key in zip(entities, keys, strict=True):
            if left.get(key):
                left[key] -= 1
            else:
                kept.append(item)
        entities[:] = kept


def place_key(entity: Entity, span: Span | None) -> object:
    """By what entities are compared that have a place: it and the type; without one the name, as it is seen."""
    # Text that the sentence lacks can only equal a gold name that the sentence lacks as well.
    return span or (visible(entity.name), entity.type)


_PAIRED = ("boundary and type", "boundary", "type")  # the later ones come first


def _pair(gold: _Located, found: _Located) -> list[Disagreement]:
    """Pair gold and predicted entities that overlap, and take them out of both lists."""
    if not gold or not found:
        return []
    kinds, overlaps = {}, {}
    for i, j in overlapping([span for _, span in gold], [span for _, span in found]):
        one, other = gold[i][1], found[j][1]
        same_place = (one.start, one.end) == (other.start, other.end)
        kinds[i, j] = 2 if same_place else int(one.type == other.type)
        overlaps[i, j] = min(one.end, other.end) - max(one.start, other.start)
    if not kinds:
        return []
    # A pair of one class outweighs all that could be had of the classes after it, and of shared text.
    unit, pairs = 1 + sum(overlaps.values()), 1 + min(len(gold), len(found))
    weights = [(i, j, float(unit * pairs**kind + overlaps[i, j])) for (i, j), kind in kinds.items()]
    chosen = best(weights)
    paired = [
        Disagreement(_PAIRED[kind], *gold[i], *found[j]) for kind in (2, 1, 0) for i, j in chosen if kinds[i, j] == kind
    ]
    for side, number in ((gold, 0), (found, 1)):
        used = {pair[number] for pair in chosen}
        side[:] = [item for position, item in enumerate(side) if position not in used]
    return paired
