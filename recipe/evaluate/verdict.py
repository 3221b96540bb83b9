"""The verdict on one answer: the answer beside its gold, compared under five matching rules.

published   set of normalised name and type of a sentence (recipe.core.metrics), for comparison with papers
strict      exact name and type, mentions counted (recipe.core.metrics)
span        character offsets and type: the names of answer and gold are located in the sentence (recipe.core.align)
partial     SemEval 2013 task 9 "partial": any type, an overlap counts one half    (both by nervaluate, on
type        SemEval 2013 task 9 "type": right type and some overlap counts one      the located names)

A predicted entity that the sentence doesn't hold counts as predicted and unmatched under the last three.
"""

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from recipe import answers
from recipe.core.align import Span, locate
from recipe.core.entities import IGNORED_TYPES, Answer, Entity, Example
from recipe.core.metrics import RULES, Counts
from recipe.evaluate.disagreements import Disagreement, classify

KEYED = ("published", "strict", "span")  # a matched entity has one type, so these have figures by type
SCORED_RULES = (*KEYED, "partial", "type")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer beside its gold: both located in the sentence (None for a name without a place), and what is wrong."""

    example: Example
    answer: Answer
    gold_spans: tuple[Span | None, ...]
    predicted_spans: tuple[Span | None, ...]
    disagreements: tuple[Disagreement, ...]


def compare(example: Example, completion: str, drop_else: bool = True) -> Verdict:
    """Parse a completion and compare it with the gold. Never raises.

    With `drop_else` the residual types (else, misc, other, ...) count neither in the gold nor in an answer that was
    asked for them; an answer that wasn't has an off-schema entity.
    """
    answer = answers.parse(completion, example)
    if drop_else and (residual := IGNORED_TYPES.intersection(example.types)):
        example = replace(
            example,
            types=tuple(label for label in example.types if label not in residual),
            entities=tuple(entity for entity in example.entities if entity.type not in residual),
        )
        answer = replace(answer, entities=tuple(e for e in answer.entities if e.type not in residual))
    gold, predicted = (locate(example.sentence, side.entities) for side in (example, answer))
    return Verdict(example, answer, gold, predicted, tuple(classify(example, answer, gold, predicted)))


def keys(verdict: Verdict, rule: str) -> tuple[Counter, Counter]:
    """What a rule of KEYED compares: multisets of predicted and of gold keys."""
    if rule != "span":
        return RULES[rule](verdict.answer.entities), RULES[rule](verdict.example.entities)
    return (
        Counter(map(_place, verdict.answer.entities, verdict.predicted_spans)),
        Counter(map(_place, verdict.example.entities, verdict.gold_spans)),
    )


def _place(entity: Entity, span: Span | None) -> tuple[object, str]:
    # Text that the sentence lacks can only equal a gold name that the sentence lacks as well.
    return ((span.start, span.end) if span else entity.name), entity.type


def count_overlaps(verdict: Verdict) -> tuple[Counts, Counts]:
    """Counts of a sentence under SemEval's partial and type schemes; an overlap is half a match under the first."""
    gold, predicted = _nervaluate(verdict.gold_spans), _nervaluate(verdict.predicted_spans)
    total = (len(verdict.answer.entities), len(verdict.example.entities))
    if not gold or not predicted:
        return Counts(0, *total), Counts(0, *total)
    partial, by_type = (scheme.evaluate(gold, predicted, [])[0] for scheme in _schemes())
    return Counts(partial.correct + partial.partial / 2, *total), Counts(by_type.correct, *total)


@functools.cache
def _schemes():
    from nervaluate.strategies import EntityTypeEvaluation, PartialEvaluation

    return PartialEvaluation(), EntityTypeEvaluation()


def _nervaluate(spans: Iterable[Span | None]) -> list:
    from nervaluate.entities import Entity as Located

    # Its ends are inclusive, and it pairs greedily: sorted, so that the order in an answer makes no difference.
    return [Located(span.type, span.start, span.end - 1) for span in sorted(filter(None, spans))]
