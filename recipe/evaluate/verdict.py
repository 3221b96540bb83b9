"""The verdict on one answer: the answer beside its gold, compared under five matching rules.

published   set of normalised name and type of a sentence (recipe.core.metrics), for comparison with papers
strict      exact name, as it is seen, and type, mentions counted (recipe.core.metrics)
span        character offsets and type
partial     SemEval 2013 task 9 "partial": any type, an overlap counts one half
type        SemEval 2013 task 9 "type": right type and some overlap counts one

The last three look at places. A gold entity stands where its source says, else where its name is found
(recipe.core.align). A predicted one stands where the answer says; where it says none, in the gold's own place of that
name before any other. A predicted entity without a place matches a gold one of its name that has none either, and no
other.

Under `partial` and `type` gold and predicted entities are paired one to one so that the sum is the greatest there is.
nervaluate, the usual implementation, pairs them one after the other, so that its figures depend on the order of types
and are lower at times: where one entity overlaps several of the other side, and where less than 1 % of a gold name is
shared, which it doesn't call an overlap.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

from recipe import answers
from recipe.core.align import Span, folded, locate, place
from recipe.core.entities import DEFAULT_FORMAT, IGNORED_TYPES, Answer, Entity, Example
from recipe.core.metrics import Counts
from recipe.core.pairing import best, overlapping
from recipe.evaluate.disagreements import KINDS, Disagreement, classify, place_key
from recipe.evaluate.relation_disagreements import RELATION_KINDS, classify_relations

KEYED = ("published", "strict", "span")  # a matched entity has one type, so these have figures by type
SCORED_RULES = (*KEYED, "partial", "type")
EDITION = 2  # another number for each change that gives other figures; where scores say none, they are of the first


@dataclass(frozen=True, slots=True)
class Scoring:
    """How answers are scored: by which rules, which of these have figures by type, and the classes of what is wrong.

    `subject` is what they are about, in words.
    """

    subject: str = "Named entities"
    rules: tuple[str, ...] = SCORED_RULES
    keyed: tuple[str, ...] = KEYED
    kinds: tuple[str, ...] = KINDS

    @property
    def usual(self) -> str:
        """The rule by which answers are compared unless another is asked for."""
        return "strict" if "strict" in self.rules else self.rules[0]


NAMES = Scoring()


@cache
def scoring_of(answer_format: str) -> Scoring:
    """The scoring of answers in a format."""
    if answers.task(answer_format) == answers.task(DEFAULT_FORMAT):
        return NAMES
    rules = tuple(answers.rules(answer_format))
    return Scoring(answers.subject(answer_format), rules, rules, RELATION_KINDS)


Output = str | Answer  # what was predicted: a completion, or an answer that was read from something else


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer beside its gold: both placed in the sentence (None for a name without a place), and what is wrong."""

    example: Example
    answer: Answer
    gold_spans: tuple[Span | None, ...]
    predicted_spans: tuple[Span | None, ...]
    disagreements: tuple[Disagreement, ...]


def compare(example: Example, output: Output, drop_else: bool = True) -> Verdict:
    """Compare what was predicted with the gold; a completion is parsed first. Never raises.

    With `drop_else` the residual types (else, misc, other, ...) count neither in the gold nor in an answer that was
    asked for them; an answer that wasn't has an off-schema entity.
    """
    return judge(*beside_gold(example, output, drop_else))


Sides = tuple[Example, Answer, tuple[Span | None, ...]]


def beside_gold(example: Example, output: Output, drop_else: bool) -> Sides:
    """What counts of an example and of what was predicted for it, and the places of the gold's entities.

    Where relations are asked for, preparation has left out what is residual, and all of the rest counts.
    """
    answer = output if isinstance(output, Answer) else answers.parse(output, example)
    if example.relation_types:
        return example, answer, place(example.sentence, example.entities)
    gold = place(example.sentence, example.entities)  # of all types: so its places were written
    if drop_else and not IGNORED_TYPES.isdisjoint(example.types):
        residual = IGNORED_TYPES.intersection(example.types)
        kept = [number for number, entity in enumerate(example.entities) if entity.type not in residual]
        gold = tuple(gold[number] for number in kept)
        example = replace(
            example,
            types=tuple(label for label in example.types if label not in residual),
            entities=tuple(example.entities[number] for number in kept),
        )
        answer = replace(answer, entities=tuple(e for e in answer.entities if e.type not in residual))
    return example, answer, gold


def judge(example: Example, answer: Answer, gold: tuple[Span | None, ...]) -> Verdict:
    """The verdict on an answer, from what `beside_gold` returns."""
    if example.relation_types:
        return _with_relations(example, answer, gold)
    return _verdict(example, answer, gold, place(example.sentence, answer.entities, beside=gold))


def _verdict(
    example: Example, answer: Answer, gold: tuple[Span | None, ...], predicted: tuple[Span | None, ...]
) -> Verdict:
    return Verdict(example, answer, gold, predicted, tuple(classify(example, answer, gold, predicted)))


def _with_relations(example: Example, answer: Answer, gold: tuple[Span | None, ...]) -> Verdict:
    """The verdict on relations, and on the entities beside them."""
    predicted = place(example.sentence, answer.entities, beside=gold)
    asked = replace(example, types=example.entity_types)
    wrong = classify(asked, answer, gold, predicted)
    if answer.parsed:
        wrong += classify_relations(example, answer, scoring_of(example.format).usual)
    return Verdict(example, answer, gold, predicted, tuple(wrong))


def judge_rest(example: Example, answer: Answer, gold: tuple[Span | None, ...]) -> tuple[list[Entity], Verdict | None]:
    """The entities that gold and answer surely have in common, and the verdict on the others; None for no others.

    Most entities are such, and need no further look: every rule counts them as matched and pairs the others with each
    other alone. An answer that can't be read always has a verdict.
    """
    agreed, named = _surely_agreed(example, answer, gold)
    common = [example.entities[number] for number in agreed]
    if answer.parsed and len(common) == len(gold) == len(answer.entities):
        return common, None
    if not common:
        return [], judge(example, answer, gold)
    missing = [number for number in range(len(gold)) if number not in agreed]
    others = [entity for number, entity in enumerate(answer.entities) if number not in named]
    left, places = tuple([gold[number] for number in missing]), [gold[number] for number in agreed]
    predicted = locate(example.sentence, others, gold, places) if others else ()
    if left and others and any(overlapping(places, left + predicted)):  # other pairs may then be worth more
        return [], judge(example, answer, gold)
    rest = Example(example.sentence, example.types, tuple([example.entities[number] for number in missing]))
    return common, _verdict(rest, Answer(tuple(others), parsed=True), left, predicted)


def _surely_agreed(example: Example, answer: Answer, gold: tuple[Span | None, ...]) -> tuple[set[int], set[int]]:
    """The positions of entities in the gold, and of as many in the answer, that take their places.

    These are the names that both give with one type as often, where each has a place in the gold: `locate` gives that
    place to no other name of the answer, and to this one before any other place.
    """
    agreed, named = set(), set()
    if {entity.start for entity in answer.entities} - {None}:
        return agreed, named
    wanted = _positions(example.entities)
    for key, positions in _positions(answer.entities).items():
        of_gold = wanted.get(key, ())
        if len(of_gold) != len(positions):
            continue
        places, names = {gold[number] for number in of_gold}, [example.entities[number].name for number in of_gold]
        if None in places or len(places) < len(of_gold):
            continue
        if sorted(names) == sorted([answer.entities[number].name for number in positions]):
            agreed.update(of_gold)
            named.update(positions)
    return agreed, named


def _positions(entities: Iterable[Entity]) -> dict[tuple[str, str], list[int]]:
    """Of each name, as `locate` compares them, and type."""
    positions: dict[tuple[str, str], list[int]] = {}
    for number, entity in enumerate(entities):
        positions.setdefault((folded(entity.name), entity.type), []).append(number)
    return positions


def texts(output: Output, example: Example) -> tuple[str, str]:
    """The texts of reasoning and answer, of which lengths are told; an answer that was never a text has no length."""
    return (output.reasoning or "", "") if isinstance(output, Answer) else answers.parts(output, example)


def keys(verdict: Verdict, rule: str) -> tuple[list[tuple], list[tuple]]:
    """What a rule with figures by type compares: predicted and gold keys, the type last in each."""
    if rule != "span":
        name = verdict.example.format
        return tuple(answers.keys(side.facts, name, rule) for side in (verdict.answer, verdict.example))
    return (
        list(map(place_key, verdict.answer.entities, verdict.predicted_spans)),
        list(map(place_key, verdict.example.entities, verdict.gold_spans)),
    )


def count_overlaps(verdict: Verdict) -> tuple[Counts, Counts]:
    """Counts of a sentence under SemEval's partial and type schemes; an overlap is half a match under the first."""
    gold, found = verdict.gold_spans, verdict.predicted_spans
    total = (len(found), len(gold))
    if gold == found and None not in gold:
        return Counts(len(gold), *total), Counts(len(gold), *total)
    if not gold or not found:
        return Counts(0, *total), Counts(0, *total)
    names, of_types = _without_place(verdict)
    pairs = list(overlapping(gold, found))
    if not pairs:
        return Counts(names, *total), Counts(of_types, *total)
    weights = {(i, j): 1.0 if _same_place(gold[i], found[j]) else 0.5 for i, j in pairs}
    partial = sum(weights[pair] for pair in best([(i, j, weight) for (i, j), weight in weights.items()]))
    by_type = best([(i, j, 1.0) for i, j in pairs if gold[i].type == found[j].type])
    return Counts(names + partial, *total), Counts(of_types + len(by_type), *total)


def _without_place(verdict: Verdict) -> tuple[int, int]:
    """How many names without a place gold and answer have in common, and how many of these with their type."""
    if None not in verdict.gold_spans or None not in verdict.predicted_spans:
        return 0, 0
    sides = ((verdict.example.entities, verdict.gold_spans), (verdict.answer.entities, verdict.predicted_spans))
    gold, found = (
        Counter(place_key(entity, None) for entity, span in zip(*side, strict=True) if span is None) for side in sides
    )
    names = [Counter(name for name, _ in side.elements()) for side in (gold, found)]
    return (names[0] & names[1]).total(), (gold & found).total()


def _same_place(one: Span, other: Span) -> bool:
    return (one.start, one.end) == (other.start, other.end)
