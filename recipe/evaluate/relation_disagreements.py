"""What is wrong with the relations of an answer: each that gold and answer don't agree on, in one of nine classes.

    example = Example("Ada left Rome .", ("left",), relations=(Relation(ADA, "left", ROME),), relation_types=("left",))
    classify_relations(example, Answer(relations=(Relation(ROME, "left", ADA),), parsed=True), "boundary")
    [Disagreement("direction", Relation(ADA, "left", ROME), None, Relation(ROME, "left", ADA))]

off-schema         predicted with a type that was not asked for
not in the text    predicted, but the sentence lacks head or tail
mention type       right but for the type of head or tail; where rows have those
direction          right but for head and tail, which are each other's
type               right head and tail, another type
boundary           right type, head and tail overlapping those of the gold
boundary and type  overlapping those of a gold relation of another type
spurious           predicted where the gold has nothing left
missed             gold, and nothing predicted is left for it

As for names (recipe.evaluate.disagreements), a relation takes the first class that fits, and each gold relation answers
for one predicted relation at most. A name stands in one place, its first by the rules of recipe.core.align.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from recipe.core.align import Span, folded, locate, occurs
from recipe.core.entities import Answer, Entity, Example, Relation
from recipe.core.metrics import TYPED_RELATION_RULES
from recipe.core.pairing import best, shared
from recipe.evaluate.disagreements import Disagreement

RELATION_KINDS = (
    "missed", "spurious", "boundary", "type", "boundary and type", "direction", "mention type", "off-schema",
    "not in the text", "unparsable",
)  # fmt: skip
_PAIRED = ("boundary and type", "boundary", "type", "direction", "mention type")  # the later ones come first


def classify_relations(example: Example, answer: Answer, rule: str) -> list[Disagreement]:
    """The disagreements about relations by a rule of recipe.core.metrics, in the order of the table."""
    gold, found = _unmatched(example.relations, answer.relations, rule)
    disagreements, rest = [], []
    for one in found:
        if one.type not in example.relation_types:
            disagreements.append(Disagreement("off-schema", predicted=one))
        elif not all(occurs(example.sentence, each.name) for each in one.mentions):
            disagreements.append(Disagreement("not in the text", predicted=one))
        else:
            rest.append(one)
    pairs = _pairs(example.sentence, gold, rest)
    disagreements += [Disagreement(kind, gold[i], None, rest[j]) for i, j, kind in pairs]
    of_gold, of_found = {i for i, _, _ in pairs}, {j for _, j, _ in pairs}
    disagreements += [Disagreement("spurious", predicted=one) for j, one in enumerate(rest) if j not in of_found]
    return disagreements + [Disagreement("missed", one) for i, one in enumerate(gold) if i not in of_gold]


def _unmatched(gold: Sequence[Relation], found: Sequence[Relation], rule: str) -> tuple[list[Relation], list[Relation]]:
    """Both without what both have."""
    sides = [(each, TYPED_RELATION_RULES[rule](each)) for each in (gold, found)]
    common = Counter(shared(*(keys for _, keys in sides)))
    kept: list[list[Relation]] = []
    for relations, keys in sides:
        left = common.copy()
        kept.append([])
        for one, key in zip(relations, keys, strict=True):
            if left[key]:
                left[key] -= 1
            else:
                kept[-1].append(one)
    return kept[0], kept[1]


def _pairs(sentence: str, gold: Sequence[Relation], found: Sequence[Relation]) -> list[tuple[int, int, str]]:
    """Which gold relation answers for which predicted one, and how they differ; the first class comes first."""
    if not gold or not found:
        return []
    own = {folded(each.name): _own_place(each) for one in gold for each in one.mentions}
    spans = _places(sentence, [*gold, *found], own)
    kinds, weights = {}, {}
    for i, one in enumerate(gold):
        for j, other in enumerate(found):
            kind, common = _compared(one, other, spans)
            if kind is not None:
                kinds[i, j], weights[i, j] = kind, common
    # A pair of one class outweighs all that could be had of the classes after it, and of shared text.
    unit, most = 1 + sum(weights.values()), 1 + min(len(gold), len(found))
    chosen = best([(i, j, float(unit * most**kind + weights[i, j])) for (i, j), kind in kinds.items()])
    named = [(i, j, kinds[i, j]) for i, j in chosen]
    return [(i, j, _PAIRED[kind]) for i, j, kind in sorted(named, key=lambda pair: -pair[2])]


def _own_place(mention: Entity) -> Span | None:
    return None if mention.start is None else Span(mention.start, mention.start + len(mention.name), "")


def _places(sentence: str, relations: Iterable[Relation], own: dict[str, Span | None]) -> dict[str, Span | None]:
    """Where each name of the relations stands, by the name as names are compared."""
    names = {folded(each.name): each.name for one in relations for each in one.mentions}
    wanted = [key for key in names if own.get(key) is None]
    taken = [span for span in own.values() if span]
    spans = locate(sentence, [Entity(names[key], "") for key in wanted], beside=taken)
    return {**dict(zip(wanted, spans, strict=True)), **{key: span for key, span in own.items() if span}}


def _compared(one: Relation, other: Relation, spans: dict[str, Span | None]) -> tuple[int | None, int]:
    """The class of a gold relation and a predicted one, as a place in _PAIRED, and the characters that they share."""
    head, tail, other_head, other_tail = (
        spans[folded(each.name)] for each in (one.head, one.tail, other.head, other.tail)
    )
    if None in (head, tail, other_head, other_tail):
        return None, 0
    if head == other_tail and tail == other_head and head != tail and one.type == other.type:
        return _PAIRED.index("direction"), 0
    common = [min(a.end, b.end) - max(a.start, b.start) for a, b in ((head, other_head), (tail, other_tail))]
    if min(common) <= 0:
        return None, 0
    if head == other_head and tail == other_tail:
        return _PAIRED.index("mention type" if one.type == other.type else "type"), sum(common)
    return int(one.type == other.type), sum(common)
